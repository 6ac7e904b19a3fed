"""How text was preprocessed before it was cut into pieces, as its words (or the pieces in a dictionary) tell.

Data that somebody else prepared do not say whether they were put in lower case, or how Moses' tokeniser was called. A
request must be preprocessed in the same way, or the network meets words that it has never seen. What counts is how
often something occurs, not whether: a few capital letters are left in most text that was put in lower case. Standard
library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from byo_container.container.failure import JobError

SEPARATOR = "@@"  # subword-nmt's, after each piece of a word but the last
SENTENCEPIECE = "\u2581"  # which SentencePiece puts before each word
# Of the pieces of such text; text from the web has the sign a few times, too, as a picture of a bar.
MARKED = 0.05
# Of the words with letters that have a case, in text that has capital letters: some 30% in German, 12% in English.
CAPITALISED = 0.01
# Plain and typographic ones. An entity may have been cut into pieces itself, such as &@@ quot@@ ;
DOUBLE_QUOTES = re.compile('"|quot'), re.compile("[\u201c-\u201f\u00ab\u00bb]")
SINGLE_QUOTES = re.compile("'|apos"), re.compile("[\u2018-\u201b\u2039\u203a]")
# What Moses' tokeniser escapes. An ampersand with something behind it is a part of an entity.
UNESCAPED = re.compile(r"""["'<>|\[\]]|^&$""")
ESCAPED = re.compile("&.")
HYPHEN = "@-@"  # a hyphen within a word, by Moses' tokeniser with the option -a
HYPHENATED = re.compile(r"\w-\w")


@dataclass(frozen=True)
class Conventions:
    """What was done to one language's text; the defaults are those of prepare.py."""

    lowercase: bool = False
    normalise: bool = True
    """Whether typographic quotes and dashes were made plain."""
    escape: bool = True
    """Whether & < > ' " | [ ] are HTML entities, as Moses' tokeniser writes them unless told -no-escape."""
    split_hyphens: bool = False
    """Whether `well-known` is three words, `well @-@ known`: Moses' option -a, as for fairseq's WMT data."""


OURS = Conventions()


def detect(counts: Mapping[str, int]) -> Conventions:
    """The conventions of text whose words, or pieces, occur as often as `counts` says."""

    def total(is_meant: Callable[[str], object]) -> int:
        return sum(count for word, count in counts.items() if is_meant(word))

    # Where no letter has a case (Chinese, Arabic, Hindi) there is nothing to put in lower case.
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
    """Pieces and how often they occur, from a dictionary of fairseq's, without those that fill it up. Lines of another
    form are left out: whoever loads the dictionary refuses them."""
    counts = {}
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        piece, _, count = line.rstrip().removesuffix(" #fairseq:overwrite").rpartition(" ")
        if piece and count.isdecimal() and not piece.startswith("madeupword"):
            counts[piece] = int(count)
    return counts


def uses_bpe(counts: Mapping[str, int], dictionary: Path) -> bool:
    """Whether a dictionary holds pieces of subword-nmt's; else it holds whole words. Raises JobError for another
    program's pieces."""
    marked = sum(count for piece, count in counts.items() if piece.startswith(SENTENCEPIECE))
    if marked > MARKED * sum(counts.values()):
        raise JobError(
            f"{dictionary} has pieces of SentencePiece's ({SENTENCEPIECE}…); only those of subword-nmt (…{SEPARATOR}) "
            "are known here, and plain text, of which they are made"
        )
    return any(piece.endswith(SEPARATOR) and piece != SEPARATOR for piece in counts)
