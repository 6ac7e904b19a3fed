"""Plain text → its translations: all the texts that wait, in batches of sentences of about the same length."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.handler import InputError
from byo_container.handlers.translation.artifact import MANIFEST, find
from byo_container.handlers.translation.inference import model, sentences
from byo_container.handlers.translation.inference.search import Search
from byo_container.handlers.translation.requests import Hypothesis, Parameters, read_parameters
from byo_container.handlers.translation.text import Bpe, Text, join

# A text of more pieces than these is cut into its sentences, where the model does not tell what it was trained with:
# prepare leaves sentences of more words out.
LONG = 175
# What one batch may hold: pieces of the source, filled up to the longest, times the width of the beam. Measured on one
# core: half and double of it take 10% longer, for the scores of all words no longer fit into the cache.
MAX_PIECES = 6_000
MAX_WORD = 1000  # characters; subword-nmt takes the square of that


@dataclass
class _Sentence:
    """One sentence of a text: what goes into the network, and what came out of it."""

    pieces: list[str]
    found: list[Hypothesis] | None = None


class Translator:
    """Translates with the model in a folder. Safe to call from several threads, which take turns."""

    def __init__(self, folder: Path) -> None:
        """Loads the model and translates once, so that no request waits for what happens only then. Raises JobError
        where a part of it is missing, damaged, or not to be trusted."""
        bundle = find(folder)
        self.bundle = bundle
        try:
            self.defaults = read_parameters(bundle.generation, Parameters())
        except InputError as error:
            raise JobError(f"{folder / MANIFEST}: in 'generation', {error}") from None
        self._source = Text(bundle.source, bundle.conventions)
        self._target = Text(bundle.target)
        self._bpe = Bpe(folder / bundle.codes) if bundle.codes else None
        self._network = model.load(folder, bundle)
        self._search = Search(self._network)
        self._long = min(bundle.longest_source or LONG, self._network.longest - 1)
        self._turn = threading.Lock()
        self.translate([("warm up", replace(self.defaults, max_len_a=0.0, max_len_b=5))])

    def translate(self, wanted: list[tuple[str, Parameters]]) -> list[list[Hypothesis] | InputError]:
        """For each text its `nbest` translations, best first; an InputError for one that is too long."""
        cut: list[list[list[_Sentence]] | InputError] = []
        for text, parameters in wanted:
            try:
                cut.append(self._cut(text, parameters))
            except InputError as error:
                cut.append(error)
        groups: dict[Parameters, list[_Sentence]] = {}
        for (_, parameters), lines in zip(wanted, cut, strict=True):
            for line in lines if isinstance(lines, list) else ():
                groups.setdefault(parameters, []).extend(sentence for sentence in line if sentence.pieces)
        with self._turn:
            for parameters, group in groups.items():
                self._search_all(group, parameters)
        return [lines if isinstance(lines, InputError) else _joined(lines) for lines in cut]

    def _cut(self, text: str, parameters: Parameters) -> list[list[_Sentence]]:
        """The text's lines, each cut into sentences where it is long. Raises InputError."""
        lines = [self._cut_line(line) for line in sentences.LINES.split(text)]
        if parameters.nbest > 1 and sum(map(len, lines)) > 1:
            raise InputError(
                f"'nbest' is for single sentences, and this text was cut into {sum(map(len, lines))}, for it has line "
                f"breaks or more than {self._long} pieces; send its sentences as a list"
            )
        return lines

    def _cut_line(self, line: str) -> list[_Sentence]:
        pieces = self._pieces(line)
        if len(pieces) <= self._long:
            return [_Sentence(pieces)]
        cut = [(sentence, self._pieces(sentence)) for sentence in sentences.split(line, self.bundle.source)]
        limit = self._network.longest - 1  # the end of the sentence takes a place
        for sentence, pieces in cut:
            if len(pieces) > limit:
                raise InputError(
                    f"the sentence {sentence[:40]!r}… has {len(pieces)} pieces (words and parts of rare ones), and "
                    f"this model reads {limit} at most; cut it in two"
                )
        return [_Sentence(pieces) for _, pieces in cut]

    def _pieces(self, text: str) -> list[str]:
        words = self._source.tokenize(text)
        if not self._bpe:
            return words.split()
        longest = max(map(len, words.split()), default=0)
        if longest > MAX_WORD:
            raise InputError(f"the text has a word of {longest} characters; {MAX_WORD} are read at most")
        return self._bpe.apply(words).split()

    def _search_all(self, group: list[_Sentence], parameters: Parameters) -> None:
        for batch in batches(group, parameters.beam):
            found = self._search.find([sentence.pieces for sentence in batch], parameters)
            for sentence, hypotheses in zip(batch, found, strict=True):
                sentence.found = [Hypothesis(self._plain(one), score) for one, score in hypotheses]

    def _plain(self, pieces: Sequence[str]) -> str:
        words = " ".join(pieces)
        return self._target.detokenize(join(words) if self._bpe else words)


def batches(group: list[_Sentence], beam: int) -> Iterator[list[_Sentence]]:
    """Sentences of about the same length together, the longest first, so that a machine without the memory for them
    tells at once."""
    ordered = sorted(group, key=lambda sentence: -len(sentence.pieces))
    while ordered:
        room = max(1, MAX_PIECES // ((len(ordered[0].pieces) + 1) * beam))
        yield ordered[:room]
        ordered = ordered[room:]


def _joined(lines: list[list[_Sentence]]) -> list[Hypothesis]:
    """A text's translations from those of its sentences. Several sentences have one translation each, whose score is
    their mean."""
    every = [sentence for line in lines for sentence in line]
    if len(every) == 1:
        return every[0].found or [Hypothesis("", 0.0)]
    found = [sentence.found[0] for sentence in every if sentence.found]
    text = "\n".join(" ".join(sentence.found[0].text for sentence in line if sentence.found) for line in lines)
    return [Hypothesis(text, math.fsum(one.score for one in found) / len(found) if found else 0.0)]
