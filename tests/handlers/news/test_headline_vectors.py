"""The vectors that the benchmark makes for the workshop's networks, in a file that the handler reads as GloVe's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import headline_vectors
from byo_container.handlers.news import sample
from byo_container.handlers.news.preprocessing import glove

MARKETS, MUSIC = (["stocks", "fall", "bonds", "rise", "inflation"], ["band", "drops", "album", "tour", "song"])


def test_words_in_the_same_contexts_have_similar_vectors() -> None:
    random = np.random.default_rng(0)
    texts = [random.permutation(topic).tolist()[:4] for topic in (MARKETS, MUSIC) for _ in range(50)]
    words, vectors = headline_vectors.make(texts)
    assert sorted(words) == sorted(MARKETS + MUSIC)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    of = {word: vectors[words.index(word)] for word in words}
    assert of["stocks"] @ of["bonds"] > of["stocks"] @ of["album"] + 0.2


def test_handler_reads_the_vectors(tmp_path: Path) -> None:
    path = tmp_path / headline_vectors.FILE
    sample.write(tmp_path / "newsCorpora.csv", rows=2000)
    headline_vectors.write(tmp_path / "newsCorpora.csv", path)
    words = [line.split()[0] for line in path.read_text().splitlines()]
    vectors, found = glove.read(path, words)
    assert (found, vectors.shape) == (len(words), (len(words) + 1, headline_vectors.DIMENSIONS))
    assert "stocks" in words
