"""Headlines → rows of ids, which a network looks up in its embedding table.

`NgramFeatures`, for the default architecture, needs no vocabulary. `WordFeatures`, for the workshop's, numbers the most
frequent words in order of frequency. Id 0 is padding in both. Both encode one headline (serving: a few µs) or many at
once (training: a few µs each too, for 400,000 of them), with the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from byo_container.handlers.news.text import normalise_lines, words

CHUNK_ROWS = 1 << 15  # headlines that are encoded together; limits the memory for their words
NEWLINE, SPACE = 10, 32

Align = Literal["left", "right"]
Progress = Callable[[int], None]  # called with the number of rows encoded since the last call


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row r is ids[starts[r]:starts[r + 1]].

    ids: int32 (total,); starts: int64 (rows + 1,).
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.starts)

    def take(self, rows: npt.NDArray[np.int64]) -> Ragged:
        """The given rows, in the given order."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        source = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return Ragged(self.ids[source], starts)

    def padded(self, width: int, align: Align) -> npt.NDArray[np.int32]:
        """int32 (rows, width), zeros where a row is shorter; none may be longer."""
        lengths = self.lengths
        table = np.zeros((len(self), width), np.int32)
        columns = np.arange(width)
        filled = columns < lengths[:, None] if align == "left" else columns >= width - lengths[:, None]
        table[filled] = self.ids
        return table

    @staticmethod
    def join(parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, one after another."""
        lengths = np.concatenate([part.lengths for part in parts]) if parts else np.empty(0, np.int64)
        ids = np.concatenate([part.ids for part in parts]) if parts else np.empty(0, np.int32)
        return Ragged(ids, np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))))


class Features(Protocol):
    """Makes the input of a network."""

    width: int
    align: Align

    @property
    def size(self) -> int:
        """The number of ids, 0 for padding included."""

    def ids(self, headline: str) -> list[int]:
        """The ids of one headline, at most `width`."""

    def encode(self, titles: list[bytes], progress: Progress = ...) -> Ragged:
        """The ids of many headlines, given as UTF-8."""

    def to_json(self) -> dict[str, Any]:
        """The argument with which `from_json` creates the same features."""


def _in_chunks(titles: list[bytes], encode: Callable[[list[bytes]], Ragged], progress: Progress) -> Ragged:
    parts = []
    for first in range(0, len(titles), CHUNK_ROWS):
        chunk = titles[first : first + CHUNK_ROWS]
        parts.append(encode(chunk))
        progress(len(chunk))
    return Ragged.join(parts)


def from_json(value: dict[str, Any]) -> Features:
    """The features that a model was trained with. Raises KeyError, TypeError or ValueError where `value` is not from
    `to_json`."""
    if value["kind"] == "ngrams":
        return NgramFeatures(int(value["size"]))
    if value["kind"] == "words":
        return WordFeatures([str(word) for word in value["words"]])
    raise ValueError(f"kind is {value['kind']!r}; it must be ngrams or words")


# ---------------------------------------------------------------------------------------------------- n-grams

MAX_WORDS = 32  # the longest of 400,000 real headlines has 22
PREFIX = 5  # bytes; a cheap stem: "kardashian's", "kardashians" and "kardashian" share theirs
_MASK = (1 << 64) - 1
_MIX = 0x9E3779B97F4A7C15  # Fibonacci hashing: 2^64 divided by the golden ratio
_SECOND = 0xC2B2AE3D27D4EB4F  # odd, so that "man bites dog" is not "dog bites man"
_PREFIX_SALT = 1 << 33  # beyond the 32 bits of a CRC: the prefix "share" is not the word "share"


class NgramFeatures:
    """Words, their five-byte prefixes and pairs of neighbours, hashed into `size` ids.

    After Joulin et al., "Bag of Tricks for Efficient Text Classification" (fastText), arXiv:1607.01759.
    Only the first 32 words of a headline are used.
    """

    width = 3 * MAX_WORDS - 1
    align: Align = "left"

    def __init__(self, size: int) -> None:
        self._size = size
        # The id of a hash is its upper half, scaled to 1 … size - 1.
        self._scale = scale = size - 1

        @lru_cache(maxsize=1 << 14)
        def numbers(word: bytes) -> tuple[int, int, int]:
            crc = crc32(word)
            prefix = crc32(word[:PREFIX]) + _PREFIX_SALT
            return (
                crc,
                1 + (((crc * _MIX & _MASK) >> 32) * scale >> 32),
                1 + (((prefix * _MIX & _MASK) >> 32) * scale >> 32),
            )

        self._numbers = numbers

    @property
    def size(self) -> int:
        return self._size

    def ids(self, headline: str) -> list[int]:
        scale, before, ids = self._scale, None, []
        for crc, word, prefix in map(self._numbers, words(headline)[:MAX_WORDS]):
            if before is not None:
                pair = before * _SECOND + crc
                ids.append(1 + (((pair * _MIX & _MASK) >> 32) * scale >> 32))
            ids.append(word)
            ids.append(prefix)
            before = crc
        return ids

    def encode(self, titles: list[bytes], progress: Progress = lambda rows: None) -> Ragged:
        return _in_chunks(titles, self._encode_chunk, progress)

    def _encode_chunk(self, titles: list[bytes]) -> Ragged:
        text = normalise_lines(titles)
        counts = _words_in_lines(text)
        split = text.split()
        crcs = np.fromiter(map(crc32, split), np.uint64, len(split))
        prefixes = np.fromiter(map(crc32, [word[:PREFIX] for word in split]), np.uint64, len(split))
        position = np.arange(len(split)) - np.repeat(np.cumsum(counts) - counts, counts)
        counted = position < MAX_WORDS
        crcs, prefixes, position = crcs[counted], prefixes[counted], position[counted]
        counts = np.minimum(counts, MAX_WORDS)
        # A row of n words has 3n - 1 ids: word and prefix of the first; pair, word and prefix of each other.
        lengths = np.maximum(3 * counts - 1, 0)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        at = np.repeat(starts[:-1], counts) + 3 * position
        ids = np.empty(starts[-1], np.int32)
        ids[at] = self._reduce(crcs)
        ids[at + 1] = self._reduce(prefixes + np.uint64(_PREFIX_SALT))
        second = np.flatnonzero(position)
        ids[at[second] - 1] = self._reduce(crcs[second - 1] * np.uint64(_SECOND) + crcs[second])
        return Ragged(ids, starts)

    def _reduce(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        upper = (hashes * np.uint64(_MIX)) >> np.uint64(32)
        return ((upper * np.uint64(self._scale)) >> np.uint64(32)).astype(np.int32) + 1

    def to_json(self) -> dict[str, Any]:
        return {"kind": "ngrams", "size": self._size}


def _words_in_lines(text: bytes) -> npt.NDArray[np.int64]:
    """The number of words in each line of normalised text: int64 (lines,)."""
    bytes_ = np.frombuffer(text, np.uint8)
    in_word = bytes_ > SPACE
    starts_word = in_word.copy()
    starts_word[1:] &= ~in_word[:-1]
    so_far = np.concatenate(([0], np.cumsum(starts_word)))
    line_ends = np.append(np.flatnonzero(bytes_ == NEWLINE), len(bytes_))
    counts: npt.NDArray[np.int64] = np.diff(so_far[line_ends], prepend=0)
    return counts


# ------------------------------------------------------------------------------------------------------ words


class WordFeatures:
    """The most frequent words, numbered from 1; other words are dropped, as in the workshop.

    The last `width` words of a headline are used.
    """

    width = 100
    align: Align = "right"

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._number = {word.encode(): number for number, word in enumerate(self.vocabulary, 1)}

    @classmethod
    def of(cls, titles: list[bytes], size: int) -> WordFeatures:
        """The `size` - 1 most frequent words of the titles, words of the same frequency in alphabetical order."""
        counts = Counter(normalise_lines(titles).split())
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([word.decode() for word, _ in ranked[: size - 1]])

    @property
    def size(self) -> int:
        return len(self.vocabulary) + 1

    def ids(self, headline: str) -> list[int]:
        number = self._number
        return [number[word] for word in words(headline) if word in number][-self.width :]

    def encode(self, titles: list[bytes], progress: Progress = lambda rows: None) -> Ragged:
        return _in_chunks(titles, self._encode_chunk, progress)

    def _encode_chunk(self, titles: list[bytes]) -> Ragged:
        number = self._number
        rows = [
            [number[word] for word in line.split() if word in number][-self.width :]
            for line in normalise_lines(titles).split(b"\n")
        ]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return Ragged(ids, np.concatenate(([0], np.cumsum(lengths))))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "words", "words": self.vocabulary}
