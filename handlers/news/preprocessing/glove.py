"""Reads GloVe vectors in the text format of https://nlp.stanford.edu/projects/glove/: a word, then its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError

PATTERN = "glove*.txt"


def find(channel: Channel) -> Path | None:
    """The file of vectors in a channel, preferably `glove.6B.100d.txt`; None without one, and in Pipe mode."""
    paths = channel.files(PATTERN)
    return min(paths, key=lambda path: path.name != "glove.6B.100d.txt", default=None)


def read(path: Path, vocabulary: Sequence[str]) -> tuple[npt.NDArray[np.float32], int]:
    """The vectors of the words in `vocabulary`, and how many of these words the file has.

    float32 (len(vocabulary) + 1, width of the file): row n is word n, counted from 1, or zeros where the file lacks it;
    row 0, padding, is zeros. Raises JobError with the number of a malformed line.
    """
    row_of = {word.encode(): row for row, word in enumerate(vocabulary, 1)}
    vectors: npt.NDArray[np.float32] | None = None
    present: set[bytes] = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            word, *numbers = line.rstrip(b"\n\r ").split(b" ")
            if vectors is None:
                if not numbers:
                    raise _malformed(path, number, "a word and its numbers, with single spaces between")
                vectors = np.zeros((len(vocabulary) + 1, len(numbers)), np.float32)
            if len(numbers) != vectors.shape[1]:
                expected = f"a word and {vectors.shape[1]} numbers, as in line 1; found {len(numbers)} numbers"
                raise _malformed(path, number, expected)
            if word in row_of:
                vectors[row_of[word]] = _floats(numbers, path, number)
                present.add(word)
    if vectors is None:
        raise JobError(f"{path} is empty; it should hold GloVe vectors, a word and its numbers in each line")
    return vectors, len(present)


def _floats(numbers: list[bytes], path: Path, line: int) -> npt.NDArray[np.float32]:
    try:
        vector = np.array([float(number) for number in numbers], np.float32)
    except ValueError as error:
        raise _malformed(path, line, f"numbers after the word ({error})") from None
    if not np.isfinite(vector).all():
        raise _malformed(path, line, "finite numbers after the word")
    return vector


def _malformed(path: Path, line: int, expected: str) -> JobError:
    return JobError(f"{path}, line {line}: not a GloVe vector; it should hold {expected}")
