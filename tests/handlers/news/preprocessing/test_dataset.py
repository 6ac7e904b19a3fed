"""Reading newsCorpora.csv: what is right is read as it is, what is wrong is an error with its line."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.handlers.news import sample
from byo_container.handlers.news.categories import CATEGORIES
from byo_container.handlers.news.preprocessing import dataset

# Anything that a title in this format may hold: no tab, no newline, and not blank.
titles = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n"), min_size=1).filter(
    lambda title: title.encode().strip()
)
codes = st.sampled_from(list(CATEGORIES))


def line(title: str = "Stocks fall", code: str = "b") -> str:
    return sample.line(1, code, title)


@given(st.lists(st.tuples(titles, codes), min_size=1), st.booleans())
def test_any_title_is_read_as_it_was_written(rows: list[tuple[str, str]], last_newline: bool) -> None:
    text = "".join(line(title, code) for title, code in rows)
    read = dataset.parse((text if last_newline else text[:-1]).encode(), "x.csv")
    assert [title.decode() for title in read.titles] == [title for title, _ in rows]
    assert [list(CATEGORIES)[label] for label in read.labels] == [code for _, code in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"x\.csv is empty; it should hold lines of 8 tab-separated columns"),
        (b"\n", r"x\.csv, line 1: 1 tab-separated column, where there should be 8: ID, TITLE"),
        (f"{line()}a\tb\n{line()}".encode(), r"x\.csv, line 2: 2 tab-separated columns"),
        (f"{line()}{line()}\n".encode(), r"x\.csv, line 3: 1 tab-separated column,"),
        (f"{line()}{line()[:-1]}\textra\n".encode(), r"x\.csv, line 2: 9 tab-separated columns"),
        # Eight lines of nine columns and one of none have as many signs as they should.
        (("\t" * 6 + "\n" + "\t" * 8 + "\n").encode(), r"x\.csv, line 1: 7 tab-separated columns"),
        (f"{line()}{line(code='z')}".encode(), r"line 2: unknown CATEGORY 'z'.*b \(Business\), t \(Science"),
        (f"{line()}{line(code='')}".encode(), r"line 2: unknown CATEGORY ''"),
        (f"{line()}{line(title=' ')}".encode(), r"line 2: TITLE \(column 2\) is empty"),
        (line().encode() + b"2\tcaf\xe9\t\t\tb\t\t\t\n", r"line 2: byte 6 \(0xe9\) is not UTF-8"),
    ],
)
def test_invalid_data_are_reported_with_their_line(text: bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        dataset.parse(text, "x.csv")


def channel_of(folder: Path, *texts: str) -> Channel:
    for number, text in enumerate(texts):
        (folder / f"part{number}.csv").write_text(text, encoding="utf-8")
    return Channel("training", folder)


def test_all_files_of_a_channel_are_read(tmp_path: Path) -> None:
    read = dataset.read_channel(channel_of(tmp_path, line() * 3, line(code="m") * 4))
    assert read.labels.tolist() == [0] * 3 + [3] * 4


def test_too_few_headlines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"4 headlines cannot be split into training and validation; .* at least 5"):
        dataset.read_channel(channel_of(tmp_path, line() * 2 + line(code="t") * 2))


def test_a_single_category_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="all 9 headlines are of CATEGORY e; there must be at least two"):
        dataset.read_channel(channel_of(tmp_path, line(code="e") * 9))


def test_a_channel_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"needs a file named like \*\.csv"):
        dataset.read_channel(Channel("training", tmp_path))


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "training_0")
    text = (line() * 3 + line(code="m") * 3).encode()
    writer = threading.Thread(target=(tmp_path / "training_0").write_bytes, args=(text,))
    writer.start()
    assert len(dataset.read_channel(Channel("training", tmp_path / "training", mode="Pipe"))) == 6
    writer.join()


def test_the_split_is_the_same_fifth_each_time() -> None:
    first, second = dataset.split(1000), dataset.split(1000)
    assert np.array_equal(first.validation, second.validation)
    assert len(first.validation) == 200
    assert sorted([*first.training, *first.validation]) == list(range(1000))
