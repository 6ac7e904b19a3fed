"""Splits long text into sentences. Standard library only, except for the lists of abbreviations (sacremoses).

Models learn from single sentences, and read a limited number of subword tokens. Text longer than any in the training
text is translated sentence by sentence.
"""

from __future__ import annotations

import re
from functools import lru_cache

LINES = re.compile(r"\r\n|[\n\r\v\f\u0085\u2028\u2029]")
# A possible end of a sentence: a mark, closing quotes and brackets, white space, and a possible beginning of another.
LOOK_AHEAD = 8  # characters, for the first letter of the next sentence
_END = re.compile(
    r"""(?<=[.!?\u2026])(["')\]\u201c\u201d\u2019\u00bb]*)\s+(?=["'(\[\u201e\u201c\u2018\u00ab\u00bb]*\w)"""
)
_LAST_WORD = re.compile(r"(\S+)\.$")
_NUMBER = re.compile(r"\d+|[IVXLC]+")


def split(text: str, language: str) -> list[str]:
    """The sentences of one line, without the white space between them. A full stop does not end a sentence after an
    abbreviation of the language, an initial or an ordinal number ("am 3. Oktober"), nor before a lower-case letter."""
    sentences, begin = [], 0
    for end in _END.finditer(text):
        sentence = text[begin : end.end(1)]
        if _ends(sentence, text[end.end() : end.end() + LOOK_AHEAD], language):
            sentences.append(sentence.strip())
            begin = end.end()
    rest = text[begin:].strip()
    return [*sentences, rest] if rest else sentences


def _ends(sentence: str, rest: str, language: str) -> bool:
    first = next((char for char in rest if char.isalnum()), "")
    word = _LAST_WORD.search(sentence)
    if not word:
        return True  # an exclamation or question mark, or a closing quote
    bare = word[1].lstrip("\"'([\u201e\u201c\u00ab")
    abbreviation = bare in _abbreviations(language) or (len(bare) == 1 and bare.isalpha()) or "." in bare
    return not (first.islower() or abbreviation or _NUMBER.fullmatch(bare))


@lru_cache(maxsize=8)
def _abbreviations(language: str) -> frozenset[str]:
    """Moses' list of words with a full stop within a sentence; the English list for an unknown language."""
    from sacremoses.corpus import NonbreakingPrefixes

    words = (word.split(" ")[0].strip() for word in NonbreakingPrefixes().words(language))
    return frozenset(filter(None, words))
