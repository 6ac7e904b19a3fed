"""Plain text → its translations. All waiting texts are translated in batches of sentences of about the same length."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.handler import InputError
from byo_container.handlers.translation.artifact import MANIFEST, read_manifest
from byo_container.handlers.translation.inference import model, sentences
from byo_container.handlers.translation.inference.search import BeamSearch
from byo_container.handlers.translation.requests import Hypothesis, Parameters, read_parameters
from byo_container.handlers.translation.text import Bpe, Text, join

# A text with more subword tokens is split into sentences, where the model does not say how long its training text was:
# prepare leaves out sentences with more words.
LONG = 175
# The size of a batch: subword tokens of the source, padding included, times the beam width. Measured on one core: half
# and double of it take 10% longer, as the scores of all words no longer fit into the cache.
MAX_TOKENS = 6_000
MAX_WORD = 1000  # characters; the time of subword-nmt is quadratic in them


@dataclass
class _Sentence:
    """One sentence of a text: the model's input and output."""

    tokens: list[str]
    hypotheses: list[Hypothesis] | None = None


class Translator:
    """Translates with the model in a folder. Thread-safe; threads take turns."""

    def __init__(self, folder: Path) -> None:
        """Loads the model and translates once, so that no request waits for the first call's set-up. Raises JobError
        where a file is missing, damaged, or not to be trusted."""
        manifest = read_manifest(folder)
        self.manifest = manifest
        try:
            self.defaults = read_parameters(manifest.generation, Parameters())
        except InputError as error:
            raise JobError(f"{folder / MANIFEST}: in 'generation', {error}") from None
        self._source = Text(manifest.source, manifest.conventions)
        self._target = Text(manifest.target)
        self._bpe = Bpe(folder / manifest.codes) if manifest.codes else None
        loaded = model.load(folder, manifest)
        self._search = BeamSearch(loaded)
        self._max_tokens = loaded.max_tokens - 1  # without the end-of-sentence token
        self._long = min(manifest.longest_source or LONG, self._max_tokens)
        self._lock = threading.Lock()
        self.translate([("warm up", replace(self.defaults, max_len_a=0.0, max_len_b=5))])

    def translate(self, texts: list[tuple[str, Parameters]]) -> list[list[Hypothesis] | InputError]:
        """The `nbest` translations of each text, best first; an InputError for a text that is too long."""
        split: list[list[list[_Sentence]] | InputError] = []
        for text, parameters in texts:
            try:
                split.append(self._split(text, parameters))
            except InputError as error:
                split.append(error)
        groups: dict[Parameters, list[_Sentence]] = {}
        for (_, parameters), lines in zip(texts, split, strict=True):
            for line in lines if isinstance(lines, list) else ():
                groups.setdefault(parameters, []).extend(sentence for sentence in line if sentence.tokens)
        with self._lock:
            for parameters, group in groups.items():
                self._search_all(group, parameters)
        return [lines if isinstance(lines, InputError) else _joined(lines) for lines in split]

    def _split(self, text: str, parameters: Parameters) -> list[list[_Sentence]]:
        """The lines of a text, each split into sentences where it is long. Raises InputError."""
        lines = [self._split_line(line) for line in sentences.LINES.split(text)]
        if parameters.nbest > 1 and sum(map(len, lines)) > 1:
            raise InputError(
                f"'nbest' is for single sentences, and this text was cut into {sum(map(len, lines))}, for it has line "
                f"breaks or more than {self._long} subword tokens; send its sentences as a list"
            )
        return lines

    def _split_line(self, line: str) -> list[_Sentence]:
        tokens = self._tokens(line)
        if len(tokens) <= self._long:
            return [_Sentence(tokens)]
        split = [(sentence, self._tokens(sentence)) for sentence in sentences.split(line, self.manifest.source)]
        for sentence, tokens in split:
            if len(tokens) > self._max_tokens:
                raise InputError(
                    f"the sentence {sentence[:40]!r}… has {len(tokens)} subword tokens (words and parts of rare ones), "
                    f"and this model reads {self._max_tokens} at most; cut it in two"
                )
        return [_Sentence(tokens) for _, tokens in split]

    def _tokens(self, text: str) -> list[str]:
        words = self._source.tokenize(text)
        if not self._bpe:
            return words.split()
        longest = max(map(len, words.split()), default=0)
        if longest > MAX_WORD:
            raise InputError(f"the text has a word of {longest} characters; {MAX_WORD} are read at most")
        return self._bpe.apply(words).split()

    def _search_all(self, group: list[_Sentence], parameters: Parameters) -> None:
        for batch in batches(group, parameters.beam):
            candidates = self._search.search([sentence.tokens for sentence in batch], parameters)
            for sentence, scored in zip(batch, candidates, strict=True):
                sentence.hypotheses = [Hypothesis(self._plain(tokens), score) for tokens, score in scored]

    def _plain(self, tokens: Sequence[str]) -> str:
        words = " ".join(tokens)
        return self._target.detokenize(join(words) if self._bpe else words)


def batches(group: list[_Sentence], beam: int) -> Iterator[list[_Sentence]]:
    """Sentences of about the same length together, longest first, so that a machine with too little memory fails at
    once."""
    ordered = sorted(group, key=lambda sentence: -len(sentence.tokens))
    while ordered:
        size = max(1, MAX_TOKENS // ((len(ordered[0].tokens) + 1) * beam))
        yield ordered[:size]
        ordered = ordered[size:]


def _joined(lines: list[list[_Sentence]]) -> list[Hypothesis]:
    """The translations of a text from those of its sentences. A text of several sentences has one translation; its
    score is the mean of theirs."""
    sentences_of_text = [sentence for line in lines for sentence in line]
    if len(sentences_of_text) == 1:
        return sentences_of_text[0].hypotheses or [Hypothesis("", 0.0)]
    best = [sentence.hypotheses[0] for sentence in sentences_of_text if sentence.hypotheses]
    text = "\n".join(
        " ".join(sentence.hypotheses[0].text for sentence in line if sentence.hypotheses) for line in lines
    )
    return [Hypothesis(text, math.fsum(one.score for one in best) / len(best) if best else 0.0)]
