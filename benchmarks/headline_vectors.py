"""Word vectors for the AWS workshop's network, from the headlines themselves, in the form of glove.6B.100d.txt:

    python -m benchmarks.headline_vectors newsCorpora.csv glove.6B.100d.txt

The workshop's network is made of pretrained vectors, and a benchmark of it must not depend on a download of 860 MB. So
here are vectors that cover its vocabulary: positive pointwise mutual information of words that stand at most five
apart, its counts of contexts smoothed by 0.75, cut to 100 dimensions by a singular value decomposition, each dimension
weighted by the root of its singular value. Levy, Goldberg and Dagan find these on a par with GloVe: "Improving
Distributional Similarity with Lessons Learned from Word Embeddings", TACL 2015. No category is looked at.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

WORDS = 9_999  # and one number for padding: the workshop's 10,000
DIMENSIONS = 100
WINDOW = 5
SMOOTHING = 0.75
LENGTH = 5.0  # of a vector on average, as in GloVe 6B
FILE = "glove.6B.100d.txt"

Floats = npt.NDArray[np.float32]


def normalise(title: str) -> str:
    """Lower case, without punctuation at the edges of words: as the workshop does it."""
    text = re.sub(r"\s\W+|\W+\s", " ", title.lower())
    return re.sub(r"\s+", " ", text)


def most_frequent(texts: Iterable[Sequence[str]]) -> list[str]:
    """The workshop's vocabulary, most frequent first."""
    return [word for word, _ in Counter(word for text in texts for word in text).most_common(WORDS)]


def make(texts: Sequence[Sequence[str]]) -> tuple[list[str], Floats]:
    """The vocabulary, and float32 (its length, DIMENSIONS)."""
    vocabulary = most_frequent(texts)
    vectors = _decomposed(_information(_counts(texts, vocabulary)))
    return vocabulary, vectors * np.float32(LENGTH / np.linalg.norm(vectors, axis=1).mean())


def _counts(texts: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> Floats:
    """How often two words stand near each other: float32 (words, words)."""
    number = {word: place for place, word in enumerate(vocabulary)}
    gap = [-1] * WINDOW  # no word of one headline is near one of the next
    ids = np.array([each for text in texts for each in [*(number.get(word, -1) for word in text), *gap]])
    counts = np.zeros(len(vocabulary) ** 2, np.float32)
    for distance in range(1, WINDOW + 1):
        left, right = ids[:-distance], ids[distance:]
        both = (left >= 0) & (right >= 0)
        pairs, found = np.unique(left[both] * len(vocabulary) + right[both], return_counts=True)
        counts[pairs] += found
    square = counts.reshape(len(vocabulary), -1)
    return square + square.T


def _information(counts: Floats) -> Floats:
    """Positive pointwise mutual information, in nats: float32 (words, words)."""
    of_word = counts.sum(axis=1)
    of_context = of_word**SMOOTHING
    expected = np.outer(of_word, of_context / of_context.sum())
    ratio = np.divide(counts, expected, out=np.ones_like(counts), where=expected > 0)
    return np.log(np.maximum(ratio, 1, out=ratio), out=ratio)


def _decomposed(matrix: Floats) -> Floats:
    """The first DIMENSIONS left singular vectors, each times the root of its singular value. By Halko, Martinsson and
    Tropp's randomised method, which needs a second where the whole decomposition needs many minutes."""
    random = np.random.default_rng(1)
    width = min(DIMENSIONS + 20, len(matrix))
    basis, _ = np.linalg.qr(matrix @ random.standard_normal((len(matrix), width), np.float32))
    for _ in range(3):
        basis, _ = np.linalg.qr(matrix.T @ basis)
        basis, _ = np.linalg.qr(matrix @ basis)
    small, values, _ = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    vectors: Floats = (basis @ small[:, :DIMENSIONS]) * np.sqrt(values[:DIMENSIONS])
    return vectors


def write(data: Path, path: Path) -> None:
    """The vectors for newsCorpora.csv, as a file of GloVe's format."""
    with data.open(encoding="utf-8", newline="\n") as lines:
        texts = [normalise(line.split("\t", 2)[1]).split() for line in lines]
    vocabulary, vectors = make(texts)
    with path.open("w", encoding="utf-8") as stream:
        for word, vector in zip(vocabulary, vectors.tolist(), strict=True):
            stream.write(f"{word} {' '.join(f'{value:.5f}' for value in vector)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    write(given.data, given.path)


if __name__ == "__main__":
    main()
