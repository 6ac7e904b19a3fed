"""The files of a corpus → words between spaces, or subword tokens where BPE was applied already."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from byo_container.container.failure import JobError
from byo_container.container.progress import say
from byo_container.handlers.translation.preprocessing import (
    cleaning,
    codes,
    conventions,
    corpus,
    parallel,
    pretokenized,
)
from byo_container.handlers.translation.preprocessing.conventions import Conventions
from byo_container.handlers.translation.preprocessing.corpus import Corpus, Files, Pairs
from byo_container.handlers.translation.preprocessing.pretokenized import State
from byo_container.handlers.translation.text import CODES_NAMES, Text, join, unescape


@dataclass(frozen=True)
class Side:
    """One language of a part of the corpus: the original lines, and the tokens of each."""

    language: str
    state: State
    conventions: Conventions
    lines: list[str]
    tokens: list[str]

    def take(self, numbers: Sequence[int]) -> Side:
        lines, tokens = ([items[number] for number in numbers] for items in (self.lines, self.tokens))
        return replace(self, lines=lines, tokens=tokens)

    def plain(self) -> list[str]:
        """The lines as plain text, in lower case where the model only produces lower case."""
        lines = self.lines
        if self.state is not State.PLAIN:
            text = Text(self.language)
            lines = [text.detokenize(join(line)) for line in lines]
        return [line.lower() for line in lines] if self.conventions.lowercase else lines

    def size(self) -> int:
        """Bytes of the lines; of their words, where the lines were tokenised."""
        lines = self.lines if self.state is State.PLAIN else [unescape(join(line)) for line in self.tokens]
        return sum(len(line.encode()) + 1 for line in lines)


@dataclass(frozen=True)
class Part:
    """The text for training or for validation."""

    source: Side
    target: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.source, self.target

    def take(self, numbers: Sequence[int]) -> Part:
        return Part(self.source.take(numbers), self.target.take(numbers))


@dataclass(frozen=True)
class Tokenized:
    """A whole corpus."""

    train: Part
    valid: Part
    lowercase: bool
    """Whether both languages were lowercased here."""
    dropped: dict[str, int]
    """The number of pairs that were left out, by reason."""

    @property
    def uses_bpe(self) -> bool:
        return self.train.source.state is State.SEGMENTED


def tokenize(text: Corpus, lowercase: bool, workers: int) -> Tokenized:
    """Reads, tokenises and cleans. Raises JobError for text that cannot be trained on."""
    pairs, valid = text.train.read(), text.valid.read() if text.valid else None
    uses_bpe = _check_segmentation(text, pairs, valid, lowercase)
    lowercase = lowercase or _has_lowercase_codes(text)
    languages = text.direction.source, text.direction.target
    source, target = (
        _train_side(language, name, lines, uses_bpe, lowercase, workers)
        for language, name, lines in zip(languages, pairs.names, (pairs.source, pairs.target), strict=True)
    )
    whole, validation = Part(source, target), None
    if text.valid and valid:
        validation = Part(_valid_side(source, valid.source, workers), _valid_side(target, valid.target, workers))
        _refuse_empty(validation, text.valid)
    # Segmented text was cleaned before BPE.
    kept = cleaning.clean(source.tokens, target.tokens, only_empty=uses_bpe)
    say(f"{text.train.source} and {text.train.target}: {kept}")
    numbers, held_out = (kept.pairs, []) if validation else cleaning.split(kept.pairs)
    if not numbers or not (validation or held_out):
        raise JobError(
            f"{text.train.source} and {text.train.target}: {kept}; that is too few to train on"
            + ("" if validation else f", for every {cleaning.VALID_EVERY}rd is needed to measure with")
        )
    return Tokenized(whole.take(numbers), validation or whole.take(held_out), lowercase, kept.dropped)


def _check_segmentation(text: Corpus, pairs: Pairs, valid: Pairs | None, lowercase: bool) -> bool:
    """Whether BPE was applied to the training text. Raises JobError where it cannot be used as it is."""
    train = [(text.train.source, pairs.source), (text.train.target, pairs.target)]
    others = [(text.valid.source, valid.source), (text.valid.target, valid.target)] if text.valid and valid else []
    for path, lines in train:
        pretokenized.refuse_sentencepiece(path, lines)
    segmented = [(path, lines) for path, lines in train if pretokenized.state(lines) is State.SEGMENTED]
    if not segmented:
        pretokenized.refuse_segmented(others)
        return False
    path, lines = segmented[0]
    if not text.codes:
        raise pretokenized.missing_codes(path, lines, CODES_NAMES)
    if lowercase and not _detect(lines, State.SEGMENTED).lowercase:
        raise JobError(
            f"lowercase is asked for, and {path} has capital letters and is cut into subword tokens by BPE already; "
            f"take lowercase back, or give the text before it was cut: {pretokenized.ADVICE}"
        )
    pretokenized.check_codes(text.codes, [*train, *others])
    say(
        f"{path} is cut into subword tokens by BPE already: it is used as it is, and {text.codes} cuts the "
        "endpoint's requests"
    )
    return True


def _has_lowercase_codes(text: Corpus) -> bool:
    """Whether the given codes have no capital letters, so that the text must have none."""
    return text.codes is not None and conventions.detect(codes.symbols(text.codes)).lowercase


def _train_side(language: str, name: str, lines: list[str], uses_bpe: bool, lowercase: bool, workers: int) -> Side:
    """The training text in `language`; `name` is that of its file."""
    state = State.SEGMENTED if uses_bpe else pretokenized.state(lines)
    if state is State.TOKENISED:
        say(f"{name} has spaces between words and punctuation already, and is not tokenised again")
    requested = Conventions(lowercase=lowercase)
    tokens = _tokens(f"words of train.{language}", language, lines, state, requested, workers)
    detected = _detect(tokens, state)
    if detected.lowercase and not lowercase:
        say(f"{name} has no capital letters: the endpoint puts requests in that language in lower case")
    # Plain text is preprocessed here, but may have been in lower case before.
    if state is State.PLAIN:
        detected = replace(requested, lowercase=lowercase or detected.lowercase)
    return Side(language, state, detected, lines, tokens)


def _valid_side(train: Side, lines: list[str], workers: int) -> Side:
    """Plain validation text is preprocessed like the training text."""
    state = train.state if train.state is State.SEGMENTED else pretokenized.state(lines)
    what = f"words of valid.{train.language}"
    tokens = _tokens(what, train.language, lines, state, train.conventions, workers)
    return Side(train.language, state, train.conventions, lines, tokens)


def _tokens(what: str, language: str, lines: list[str], state: State, wanted: Conventions, workers: int) -> list[str]:
    if state is State.PLAIN:
        return parallel.transform(what, lines, functools.partial(_tokenizer, language, wanted), workers)
    words = [" ".join(line.split()) for line in lines]
    return [line.lower() for line in words] if wanted.lowercase and state is State.TOKENISED else words


def _tokenizer(language: str, wanted: Conventions) -> parallel.Transform:
    return Text(language, wanted).tokenize


def _detect(tokens: Sequence[str], state: State) -> Conventions:
    lines = pretokenized.sample(tokens)
    return conventions.detect(codes.count([map(join, lines) if state is State.SEGMENTED else lines]))


def _refuse_empty(valid: Part, files: Files) -> None:
    """Raises JobError for empty lines in validation text, which is not cleaned, so that scores are those of all of
    it."""
    for path, side in ((files.source, valid.source), (files.target, valid.target)):
        empty = [number for number, line in enumerate(side.tokens, 1) if not line]
        if empty:
            raise JobError(f"{path}: these lines have no words: {corpus.numbers(empty)}; take them out of both files")
