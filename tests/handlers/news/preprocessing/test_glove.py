"""Reading GloVe's text format."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.handlers.news.preprocessing import glove


def test_the_vectors_of_known_words_are_read(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("the 0.5 -1\nother 1 2\ncafé 3e-1 4\n", encoding="utf-8")
    vectors, found = glove.read(path, ["café", "missing", "the"])
    assert found == 2
    assert vectors.ravel().tolist() == pytest.approx([0, 0, 0.3, 4, 0, 0, 0.5, -1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it should hold GloVe vectors"),
        ("the\n", "line 1: not a GloVe vector"),
        ("the 1 2\na 1\n", "line 2: .* a word and 2 numbers, as in line 1; found 1 numbers"),
        ("x 1 2\nthe 1 two\n", "line 2: .*could not convert"),
        ("the 1 nan\n", "line 1: .*finite"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(text)
    with pytest.raises(JobError, match=message):
        glove.read(path, ["the"])


def test_the_workshops_file_is_preferred(tmp_path: Path) -> None:
    channel = Channel("training", tmp_path)
    assert glove.find(channel) is None
    (tmp_path / "glove.42B.txt").touch()
    assert glove.find(channel) == tmp_path / "glove.42B.txt"
    (tmp_path / "glove.6B.100d.txt").touch()
    assert glove.find(channel) == tmp_path / "glove.6B.100d.txt"
