"""Channels of every kind: which columns are taken, and what is said of bad ones."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datasets")
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing import reading
from byo_container.handlers.text_classification.preprocessing.rows import Rows
from tests.handlers.text_classification import old_datasets

NAMES = ["sadness", "joy", "love"]


def read(folder: Path, name: str = "train") -> Rows:
    """The channel's rows; nothing may be left beside its files."""
    before = sorted(folder.rglob("*"))
    rows = reading.read(Channel(name, folder))
    assert sorted(folder.rglob("*")) == before
    return rows


def refused(folder: Path, message: str, name: str = "train") -> None:
    with pytest.raises(JobError, match=re.escape(message)):
        reading.read(Channel(name, folder))


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


@pytest.mark.parametrize("torch", [False, True])
def test_data_sets_of_datasets_1(tmp_path: Path, torch: bool) -> None:
    columns: dict[str, list[Any]] = {"text": ["a", "b", "c"], "input_ids": [[2, 3], [2, 5, 3], [2]], "label": [0, 2, 1]}
    rows = read(old_datasets.save(tmp_path / "d", columns, NAMES, torch))
    assert rows.names == tuple(NAMES)
    assert list(rows.labels) == [0, 2, 1]
    assert rows.data[1] == {"text": "b", "input_ids": [2, 5, 3]}
    assert rows.place(1) == f"{tmp_path / 'd'}, row 2"


def test_selections_of_datasets_1_keep_to_their_rows(tmp_path: Path) -> None:
    """Later releases of datasets do not read indices.arrow, and give all rows."""
    columns: dict[str, list[Any]] = {"text": ["a", "b", "c"], "label": [0, 2, 1]}
    rows = read(old_datasets.save(tmp_path / "d", columns, NAMES, indices=[2, 0]))
    assert (list(rows.data["text"]), list(rows.labels)) == (["c", "a"], [1, 0])


def test_class_labels_without_names_are_numbers(tmp_path: Path) -> None:
    rows = read(old_datasets.save(tmp_path / "d", {"text": ["a", "b"], "label": [4, 1]}))
    assert (rows.names, list(rows.labels)) == (None, [4, 1])


def test_reviews_with_the_index_that_pandas_writes(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "d", a__csv=",star_rating,review_body\n0,5,good\n1,1,bad\n"))
    assert list(rows.data["text"]) == ["good", "bad"]
    assert [str(label) for label in rows.labels] == ["5", "1"]


def test_data_sets_and_dictionaries_of_today(tmp_path: Path) -> None:
    features = Features({"content": Value("string"), "labels": ClassLabel(names=NAMES)})
    made = Dataset.from_dict({"content": ["a", "b"], "labels": [0, 1]}, features=features)
    made.save_to_disk(tmp_path / "one")
    DatasetDict({"train": made, "val": made.select([1])}).save_to_disk(tmp_path / "both")
    for folder, name, texts in (
        ("one", "test", ["a", "b"]),
        ("both", "train", ["a", "b"]),
        ("both", "validation", ["b"]),
    ):
        rows = read(tmp_path / folder, name)
        assert (list(rows.data["text"]), rows.names) == (texts, tuple(NAMES))
    refused(tmp_path / "both", "is a dictionary of the splits train, val; one should be called test", "test")
    (tmp_path / "one" / "more.csv").write_text("text,label\na,joy\n")
    assert len(read(tmp_path / "one").labels) == 2  # within the folder of the data set nothing else is read


def test_parquet(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "two")):
        pq.write_table(pa.table({"sentence": [text], "category": [name]}), tmp_path / f"{name}.parquet")
    rows = read(tmp_path)
    assert (list(rows.data["text"]), list(rows.labels)) == (["one", "two"], ["a", "b"])
    assert rows.place(1) == f"{tmp_path / 'b.parquet'}, row 1"
    pq.write_table(pa.table({"sentence": [7], "category": ["c"]}), tmp_path / "c.parquet")
    refused(tmp_path, "differ from those of")


def test_files_of_one_kind_are_read_one_after_the_other(tmp_path: Path) -> None:
    write(tmp_path, a__csv="review,label\na,joy\nb,fear\n", b__csv="label,text\njoy,c\n", README__md="what this is")
    rows = read(tmp_path)
    assert (list(rows.data["text"]), list(rows.labels)) == (["a", "b", "c"], ["joy", "fear", "joy"])
    assert [rows.place(row) for row in (1, 2)] == [f"{tmp_path / 'a.csv'}, line 3", f"{tmp_path / 'b.csv'}, line 2"]


def test_names_beside_numbers_are_preferred(tmp_path: Path) -> None:
    write(tmp_path, a__jsonl='{"text": "a", "label": 0, "label_text": "joy"}\n')
    assert list(read(tmp_path).labels) == ["joy"]


def test_class_labels_are_preferred_to_texts_of_labels(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label_text": Value("string"), "label": ClassLabel(names=NAMES)})
    made = Dataset.from_dict({"text": ["a"], "label_text": ["joy"], "label": [1]}, features=features)
    made.save_to_disk(tmp_path / "d")
    rows = read(tmp_path / "d")
    assert (rows.names, list(rows.labels)) == (tuple(NAMES), [1])
    made.to_parquet(tmp_path / "p" / "a.parquet")
    assert read(tmp_path / "p").names == tuple(NAMES)


def test_categories_of_pandas_in_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b"], "label": ["joy", "fear"]})
    frame.astype({"label": "category"}).to_parquet(tmp_path / "a.parquet")
    assert list(read(tmp_path).labels) == ["joy", "fear"]


def test_pipe_mode(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    writer = threading.Thread(target=lambda: (tmp_path / "train_0").write_text("a;joy\nb;fear\n"))
    writer.start()
    rows = reading.read(Channel("train", tmp_path / "train", "Pipe"))
    writer.join()
    assert (list(rows.data["text"]), list(rows.labels)) == (["a", "b"], ["joy", "fear"])


def test_pipe_mode_with_a_content_type(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    writer = threading.Thread(target=lambda: (tmp_path / "train_0").write_text("a;b,joy\nc,joy\nd,fear\n"))
    writer.start()
    rows = reading.read(Channel("train", tmp_path / "train", "Pipe", "text/csv"))
    writer.join()
    assert list(rows.data["text"]) == ["a;b", "c", "d"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no file"),
        ({"a__csv": "id,label\n1,joy\n"}, "a.csv has no column of texts; its columns are 'id', 'label'"),
        ({"a__csv": "text,id\na,1\n"}, "a.csv has no column of labels; its columns are 'text', 'id'"),
        ({"a__csv": "text,label\na,joy\n  ,joy\nb,joy\n,fear\n"}, "a.csv, line 3 has an empty text (so have 1 more"),
        ({"a__jsonl": '{"text": "a", "label": 1}\n{"label": 1}\n'}, "a.jsonl, line 2 has no text"),
        ({"a__jsonl": '{"text": 7, "label": 1}\n'}, "a.jsonl, line 1 has '7' (int) in place of a text"),
        ({"a__csv": "text,label\na,joy\n", "b__txt": "a;joy\n"}, "holds files of several kinds, such as"),
        (
            {"a__jsonl": '{"text": "a", "label": 1}\n{"text": "\\ud83d", "label": 1}\n'},
            "a.jsonl, line 2 has a text or label that",
        ),
        ({"a__png": "?"}, "a.png is of no kind that is known here"),
        ({"a__arrow": "?"}, "has neither state.json nor dataset_info.json beside it"),
        ({"a__parquet": "PAR1 no"}, "a.parquet cannot be read"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, files: dict[str, str], message: str) -> None:
    refused(write(tmp_path, **files), message)


def test_damaged_data_sets_are_explained(tmp_path: Path) -> None:
    def saved(name: str) -> Path:
        return old_datasets.save(tmp_path / name, {"text": ["a" * 999, "b"], "label": [0, 1]}, NAMES)

    cut = saved("cut") / "dataset.arrow"
    cut.write_bytes(cut.read_bytes()[:-1000])
    refused(cut.parent, "cannot be read: ")
    flipped = saved("flipped") / "dataset.arrow"
    flipped.write_bytes(flipped.read_bytes().replace(b"a" * 999, b"a" * 500 + b"\xff" * 499))
    refused(flipped.parent, "cannot be read: ArrowInvalid: ")
    lacking = saved("lacking")
    (lacking / "dataset_info.json").unlink()
    refused(lacking, "has no dataset_info.json; bring the whole folder")
    odd = saved("odd") / "state.json"
    odd.write_text("{")
    refused(odd.parent, "state.json is damaged")
    missing = saved("missing") / "state.json"
    missing.write_text(json.dumps(json.loads(missing.read_text()) | {"_data_files": [{"filename": "no.arrow"}]}))
    refused(missing.parent, "cannot be read: ")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [1, 2], "label": [0, 1]}, "the column 'text' should have texts (string), and has int64"),
        (
            {"input_ids": [[1.5], [2.0]], "label": [0, 1]},
            "should have lists of whole numbers (int32, int64), and has float",
        ),
        (
            {"input_ids": ["a", "b"], "label": [0, 1]},
            "should have lists of whole numbers (int32, int64), and has Value('string')",
        ),
        (
            {"input_ids": [[2, 3], [2, 3]], "attention_mask": [[0.5, 1], [1, 1]], "label": [0, 1]},
            "the column 'attention_mask' should have lists of whole numbers (int32, int64), and has float64",
        ),
        ({"input_ids": [7, 8], "label": [0, 1]}, "should have lists of whole numbers (int32, int64), and has Value"),
        ({"text": ["a", None], "label": [0, 1]}, "row 2 has no text"),
        ({"label": [0, 1]}, "has no column of texts"),
        ({"text": [], "label": []}, "has no rows"),
    ],
)
def test_wrong_columns_are_explained(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    Dataset.from_dict(columns).save_to_disk(tmp_path / "d")
    refused(tmp_path / "d", message)
