"""Detects how text was preprocessed before BPE, from its words (or the subword tokens in a dictionary).

Data that somebody else prepared do not say whether they were lowercased, or how Moses' tokeniser was called. Requests
must be preprocessed in the same way, or the model gets words that it has never seen. Detection goes by frequencies:
most lowercased text still has a few capital letters. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from byo_container.container.failure import JobError

SEPARATOR = "@@"  # of subword-nmt, after each subword token of a word but the last
SENTENCEPIECE = "\u2581"  # of SentencePiece, before each word
# Minimum share of such tokens; text from the web also has the sign a few times, as a picture of a bar.
MARKED = 0.05
# Minimum share of capitalised words, of those with cased letters: 30% is usual in German, 12% in English.
CAPITALISED = 0.01
# Plain and typographic ones. An entity may have been segmented itself, such as &@@ quot@@ ;
DOUBLE_QUOTES = re.compile('"|quot'), re.compile("[\u201c-\u201f\u00ab\u00bb]")
SINGLE_QUOTES = re.compile("'|apos"), re.compile("[\u2018-\u201b\u2039\u203a]")
# What Moses' tokeniser escapes. An ampersand followed by something is part of an entity.
UNESCAPED = re.compile(r"""["'<>|\[\]]|^&$""")
ESCAPED = re.compile("&.")
HYPHEN = "@-@"  # a hyphen within a word, written by Moses' tokeniser with the option -a
HYPHENATED = re.compile(r"\w-\w")


@dataclass(frozen=True)
class Conventions:
    """How the text of one language was preprocessed; the defaults are those of prepare.py."""

    lowercase: bool = False
    normalise: bool = True
    """Whether typographic quotes and dashes were normalised."""
    escape: bool = True
    """Whether & < > ' " | [ ] are HTML entities, as Moses' tokeniser writes them without -no-escape."""
    split_hyphens: bool = False
    """Whether `well-known` is three words, `well @-@ known`: Moses' option -a, as for fairseq's WMT data."""


DEFAULT = Conventions()


def detect(counts: Mapping[str, int]) -> Conventions:
    """The conventions of a text, from the frequencies of its words or subword tokens."""

    def total(is_meant: Callable[[str], object]) -> int:
        return sum(count for word, count in counts.items() if is_meant(word))

    # Text without cased letters (Chinese, Arabic, Hindi) does not count as lowercased.
    cased = total(lambda word: word.lower() != word.upper())
    capitalised = total(lambda word: word != word.lower())
    return Conventions(
        lowercase=capitalised < CAPITALISED * cased,
        normalise=all(
            total(typographic.search) <= total(plain.search) for plain, typographic in (DOUBLE_QUOTES, SINGLE_QUOTES)
        ),
        escape=total(UNESCAPED.search) <= total(ESCAPED.search),
        split_hyphens=counts.get(HYPHEN, 0) > total(HYPHENATED.search),
    )


def read_dictionary(path: Path) -> dict[str, int]:
    """The subword tokens of a fairseq dictionary and their frequencies, without its filler words. Lines of another form
    are skipped: loading the dictionary refuses them."""
    counts = {}
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        token, _, count = line.rstrip().removesuffix(" #fairseq:overwrite").rpartition(" ")
        if token and count.isdecimal() and not token.startswith("madeupword"):
            counts[token] = int(count)
    return counts


def uses_bpe(counts: Mapping[str, int], dictionary: Path) -> bool:
    """Whether a dictionary holds subword tokens of subword-nmt; else it holds whole words. Raises JobError for those of
    another program."""
    marked = sum(count for token, count in counts.items() if token.startswith(SENTENCEPIECE))
    if marked > MARKED * sum(counts.values()):
        raise JobError(
            f"{dictionary} has subword tokens of SentencePiece ({SENTENCEPIECE}…); only those of subword-nmt "
            f"(…{SEPARATOR}) are known here, and plain text, of which they are made"
        )
    return any(token.endswith(SEPARATOR) and token != SEPARATOR for token in counts)
