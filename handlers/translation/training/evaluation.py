"""How good translations are while training: BLEU and chrF by sacrebleu, of plain text as the endpoint would give it.

Each rank translates a share of the validation sentences. The references are the plain sentences themselves, neither
tokenised nor cut, so that the figures compare with anybody's (https://aclanthology.org/W18-6319/). Of foreign binary
text, which comes without them, they are put together again from pieces, and unknown words in them count as wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from byo_container.handlers.translation.preprocessing import corpus
from byo_container.handlers.translation.preprocessing.prepared import Prepared
from byo_container.handlers.translation.text import Text, join
from byo_container.handlers.translation.training.distribution import Rank

SENTENCES = 64  # in a batch; sorted by length, so that little of it is padding
SUBSET = "valid"


class Stopped(Exception):  # noqa: N818  it is no error
    """Translating was cut short, because the job is to end."""


@dataclass(frozen=True)
class Scores:
    """BLEU and chrF, 0 to 100."""

    bleu: float
    chrf: float


class Evaluator:
    """Measures a network with the validation sentences of a fairseq task."""

    def __init__(
        self, prepared: Prepared, generation: Mapping[str, Any], rank: Rank, stops: Callable[[], bool]
    ) -> None:
        """`stops()` is asked before every batch, and says on all ranks the same."""
        self._prepared, self._rank, self._stops = prepared, rank, stops
        self._generation = argparse.Namespace(**generation)
        self._text = Text(prepared.direction.target)
        self._references: list[str] | None = None

    def measure(self, task: Any, model: Any) -> Scores:
        """BLEU and chrF of all sentences; the same on every rank. Raises Stopped."""
        from sacrebleu.metrics import BLEU, CHRF

        mine = dict(self._translate(task, model))
        everyone = {number: text for part in self._rank.gather(mine) for number, text in part.items()}
        references = self._references = self._references or self._read_references(task)
        numbers = sorted(everyone)
        hypotheses = [everyone[number] for number in numbers]
        wanted = [[references[number] for number in numbers]]
        bleu, chrf = (metric.corpus_score(hypotheses, wanted).score for metric in (BLEU(), CHRF()))
        return Scores(round(float(bleu), 4), round(float(chrf), 4))

    def _translate(self, task: Any, model: Any) -> Iterator[tuple[int, str]]:
        """Number and translation of this rank's sentences, as plain text."""
        import torch
        from fairseq import utils

        from byo_container.handlers.translation.inference.search import fit_limits

        dataset = task.dataset(SUBSET)
        generator = task.build_generator([model], self._generation)
        min_len = generator.min_len
        with torch.no_grad():
            for numbers in self._batches(dataset):
                if self._stops():
                    raise Stopped
                if not numbers:
                    continue
                sample = dataset.collater([dataset[number] for number in numbers])
                if next(model.parameters()).is_cuda:
                    sample = utils.move_to_cuda(sample)
                fit_limits(generator, sample["net_input"]["src_tokens"].size(1), min_len)
                found = generator.generate([model], sample)
                for number, hypotheses in zip(sample["id"].tolist(), found, strict=True):
                    yield number, self._plain(task.target_dictionary, hypotheses[0]["tokens"])

    def _batches(self, dataset: Any) -> list[list[int]]:
        """This rank's sentences; as many batches on every rank, for all are asked before each whether to stop."""
        order = sorted(range(len(dataset)), key=lambda number: (int(dataset.src_sizes[number]), number))
        batches = [order[first : first + SENTENCES] for first in range(0, len(order), SENTENCES)]
        batches += [[] for _ in range(-len(batches) % self._rank.world)]
        return batches[self._rank.number :: self._rank.world]

    def _plain(self, dictionary: Any, tokens: Any) -> str:
        return self._text.detokenize(join(dictionary.string(tokens.int().cpu())))

    def _read_references(self, task: Any) -> list[str]:
        if self._prepared.references:
            lines = corpus.read_lines(self._prepared.references)
            return [line.lower() for line in lines] if self._prepared.lowercase else lines
        targets = task.dataset(SUBSET).tgt
        return [self._plain(task.target_dictionary, targets[number]) for number in range(len(targets))]
