"""fairseq's own generation, as fairseq-interactive does it: sentences in batches, sorted by length, on all cores.

python -m benchmarks.peers.fairseq_offline MODEL_DIR SENTENCES    # sentences a second, generation alone
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from byo_container.handlers.translation import compat
from byo_container.handlers.translation.artifact import read_manifest
from byo_container.handlers.translation.requests import Parameters, read_parameters
from byo_container.handlers.translation.text import Bpe, Text, join

compat.install()
import torch  # noqa: E402
from fairseq import checkpoint_utils  # noqa: E402
from fairseq.data import Dictionary  # noqa: E402
from fairseq.dataclass.configs import FairseqConfig  # noqa: E402
from fairseq.tasks.translation import TranslationConfig, TranslationTask  # noqa: E402

BATCH = 16


class Model:
    """A model folder in fairseq's own hands, with the parameters that `serve` would use."""

    def __init__(self, folder: Path) -> None:
        bundle = read_manifest(folder)
        source, target = (
            Dictionary.load(str(folder / bundle.dictionary(side))) for side in (bundle.source, bundle.target)
        )
        self._task = TranslationTask(TranslationConfig(data=str(folder)), source, target)
        path = str(folder / bundle.checkpoint)
        (self._model,), _ = checkpoint_utils.load_model_ensemble([path], task=self._task)
        parameters = read_parameters(bundle.generation, Parameters())
        config = FairseqConfig().generation
        config.beam, config.lenpen = parameters.beam, parameters.lenpen
        config.max_len_a, config.max_len_b = parameters.max_len_a, parameters.max_len_b
        self._model.make_generation_fast_(beamable_mm_beam_size=config.beam)
        self._generator = self._task.build_generator([self._model], config)
        self._texts = Text(bundle.source, bundle.conventions), Text(bundle.target)
        self._bpe = Bpe(folder / bundle.codes) if bundle.codes else None

    def pieces(self, text: str) -> str:
        words = self._texts[0].tokenize(text)
        return self._bpe.apply(words) if self._bpe else words

    def translate(self, lines: list[str]) -> list[str]:
        """Pieces → plain text, in the same order."""
        found = {number: self._plain(tokens) for number, tokens in self.generate(self.rows(lines))}
        return [found[number] for number in range(len(lines))]

    def rows(self, lines: list[str]) -> list[Any]:
        return [self._task.source_dictionary.encode_line(line, add_if_not_exist=False).long() for line in lines]

    def generate(self, rows: list[Any]) -> list[tuple[int, Any]]:
        """Number and tokens of each translation."""
        dataset = self._task.build_dataset_for_inference(rows, [len(row) for row in rows])
        batches = self._task.get_batch_iterator(
            dataset, max_sentences=BATCH, max_positions=self._model.max_positions()
        ).next_epoch_itr(shuffle=False)
        return [
            (number, hypotheses[0]["tokens"])
            for sample in batches
            for number, hypotheses in zip(
                sample["id"].tolist(), self._task.inference_step(self._generator, [self._model], sample), strict=True
            )
        ]

    def _plain(self, tokens: Any) -> str:
        pieces = self._task.target_dictionary.string(tokens)
        return self._texts[1].detokenize(join(pieces) if self._bpe else pieces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("sentences", type=Path, help="a sentence a line")
    options = parser.parse_args()
    model = Model(options.model_dir)
    lines = [model.pieces(line) for line in options.sentences.read_text(encoding="utf-8").splitlines()]
    rows = model.rows(lines)
    model.generate(rows[: 2 * BATCH])  # warm
    began, used = time.perf_counter(), time.process_time()
    model.generate(rows)
    figures = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    print(json.dumps({**figures, "threads": torch.get_num_threads(), "answers": model.translate(lines[:BATCH])}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
