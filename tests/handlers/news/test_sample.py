"""The sample that `make demo` trains on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from byo_container.handlers.news import sample
from byo_container.handlers.news.preprocessing import dataset

DEMO = "Why Exercise Alone May Not Be the Key to Weight Loss"


def test_the_sample_is_the_same_each_time_and_balanced(tmp_path: Path) -> None:
    sample.main([str(tmp_path / "a" / "newsCorpora.csv"), "--rows", "4000"])
    sample.write(tmp_path / "b.csv", 4000)
    text = (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a" / "newsCorpora.csv").read_bytes() == text
    assert set(Counter(dataset.parse(text, "b.csv").labels.tolist()).values()) == {1000}


def test_the_demonstrations_headline_is_not_in_the_sample() -> None:
    assert DEMO.lower() not in {title.lower() for _, title in sample.headlines(sample.ROWS)}
