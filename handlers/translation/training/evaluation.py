"""BLEU and chrF while training, by sacrebleu, of plain text as the endpoint would return it.

Each rank translates a share of the validation sentences. The references are the plain sentences, neither tokenised nor
segmented, so that the scores are comparable (https://aclanthology.org/W18-6319/). Binary text that was made elsewhere
has no plain sentences: its references are detokenised from subword tokens, and unknown words in them count as errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from byo_container.handlers.translation.preprocessing import corpus
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.text import Text, join
from byo_container.handlers.translation.training.distribution import Rank

SENTENCES = 64  # in a batch; sorted by length, so that little is padding
SUBSET = "valid"


class EvaluationStopped(Exception):  # noqa: N818  it is no error
    """The evaluation was cut short, because the job has to stop."""


@dataclass(frozen=True)
class Scores:
    """BLEU and chrF, 0 to 100."""

    bleu: float
    chrf: float


class Evaluator:
    """Evaluates a model on the validation sentences of a fairseq task."""

    def __init__(
        self, prepared: PreparedText, generation: Mapping[str, Any], rank: Rank, must_stop: Callable[[], bool]
    ) -> None:
        """`must_stop` is called before every batch, and returns the same on all ranks."""
        self._prepared, self._rank, self._must_stop = prepared, rank, must_stop
        self._generation = argparse.Namespace(**generation)
        self._text = Text(prepared.direction.target)
        self._references: list[str] | None = None

    def measure(self, task: Any, model: Any) -> Scores:
        """BLEU and chrF of all sentences; the same on every rank. Raises EvaluationStopped."""
        from sacrebleu.metrics import BLEU, CHRF

        own = dict(self._translate(task, model))
        everyone = {number: text for part in self._rank.gather(own) for number, text in part.items()}
        references = self._references = self._references or self._read_references(task)
        numbers = sorted(everyone)
        hypotheses = [everyone[number] for number in numbers]
        reference = [[references[number] for number in numbers]]
        bleu, chrf = (metric.corpus_score(hypotheses, reference).score for metric in (BLEU(), CHRF()))
        return Scores(round(float(bleu), 4), round(float(chrf), 4))

    def _translate(self, task: Any, model: Any) -> Iterator[tuple[int, str]]:
        """Numbers and translations of this rank's sentences, as plain text."""
        import torch
        from fairseq import utils

        from byo_container.handlers.translation.inference.search import fit_limits

        dataset = task.dataset(SUBSET)
        generator = task.build_generator([model], self._generation)
        min_len = generator.min_len
        with torch.no_grad():
            for numbers in self._batches(dataset):
                if self._must_stop():
                    raise EvaluationStopped
                if not numbers:
                    continue
                sample = dataset.collater([dataset[number] for number in numbers])
                if next(model.parameters()).is_cuda:
                    sample = utils.move_to_cuda(sample)
                fit_limits(generator, sample["net_input"]["src_tokens"].size(1), min_len)
                results = generator.generate([model], sample)
                for number, hypotheses in zip(sample["id"].tolist(), results, strict=True):
                    yield number, self._plain(task.target_dictionary, hypotheses[0]["tokens"])

    def _batches(self, dataset: Any) -> list[list[int]]:
        """This rank's batches; as many on every rank, as all call `must_stop` before each."""
        order = sorted(range(len(dataset)), key=lambda number: (int(dataset.src_sizes[number]), number))
        batches = [order[first : first + SENTENCES] for first in range(0, len(order), SENTENCES)]
        batches += [[] for _ in range(-len(batches) % self._rank.world_size)]
        return batches[self._rank.number :: self._rank.world_size]

    def _plain(self, dictionary: Any, tokens: Any) -> str:
        return self._text.detokenize(join(dictionary.string(tokens.int().cpu())))

    def _read_references(self, task: Any) -> list[str]:
        if self._prepared.references:
            lines = corpus.read_lines(self._prepared.references)
            return [line.lower() for line in lines] if self._prepared.lowercase else lines
        targets = task.dataset(SUBSET).tgt
        return [self._plain(task.target_dictionary, targets[number]) for number in range(len(targets))]
