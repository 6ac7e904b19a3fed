"""Raw text → channels, as the notebook makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("transformers")
import datasets

from byo_container.container.channels import Channel
from byo_container.handlers.text_classification import prepare, sample
from byo_container.handlers.text_classification.preprocessing import splits
from byo_container.handlers.text_classification.preprocessing.tokenizing import tokenize
from tests.handlers.text_classification.support import lines, tiny_tokenizer

HUB = ["sadness", "joy", "love", "anger", "fear", "surprise"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """train.txt, val.csv and a folder test, of six emotions."""
    texts = [f"{text};{label}" for text, label in sample.texts(60)]
    (tmp_path / "raw" / "test").mkdir(parents=True)
    (tmp_path / "raw" / "train.txt").write_text("\n".join(texts[:40]))
    (tmp_path / "raw" / "val.csv").write_text("text,label\nwhat a day,joy\n")
    (tmp_path / "raw" / "test" / "a.txt").write_text("\n".join(texts[40:]))
    return tmp_path / "raw"


def run(*words: object) -> int:
    return prepare.main([str(word) for word in words])


def test_texts_with_the_hubs_order_of_emotions(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(source, tmp_path / "made") == 0
    made = {name: datasets.load_from_disk(str(tmp_path / "made" / name)) for name in ("train", "validation", "test")}
    assert {name: len(data) for name, data in made.items()} == {"train": 40, "validation": 1, "test": 20}
    assert all(data.features["label"].names == HUB for data in made.values())
    assert made["validation"][0] == {"text": "what a day", "label": 1}
    assert f"wrote 40 rows to {tmp_path / 'made' / 'train'}" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "raw"]


@pytest.mark.parametrize("pad", [(), ("--pad",)])
def test_tokens_that_a_job_reads(source: Path, tmp_path: Path, pad: tuple[str, ...]) -> None:
    tokenizer = tiny_tokenizer("bert")
    tokenizer.save_pretrained(tmp_path / "model")
    assert run(source, tmp_path / "made", "--model", tmp_path / "model", *pad) == 0
    made = datasets.load_from_disk(str(tmp_path / "made" / "train"))
    assert {len(ids) for ids in made["input_ids"]} == {64} if pad else len({len(ids) for ids in made["input_ids"]}) > 1
    assert made.features["input_ids"].feature.dtype == "int32"
    channels = {name: Channel(name, tmp_path / "made" / name) for name in ("train", "validation", "test")}
    read = splits.read(channels, 1, quiet=True)
    assert list(read.labels) == HUB
    tokens = tokenize(read.train, tokenizer, 64, quiet=True)
    assert list(tokens["input_ids"]) == tokenizer(list(made["text"]))["input_ids"]


def test_other_labels_are_sorted(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.txt").write_text("\n".join(lines(9)))
    assert run(tmp_path / "raw", tmp_path / "made") == 0
    made = datasets.load_from_disk(str(tmp_path / "made" / "train"))
    assert made.features["label"].names == ["anger", "joy", "sadness"]


def test_what_a_killed_run_left_is_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / ".made.new" / "train").mkdir(parents=True)
    assert run(source, tmp_path / "made") == 0
    assert not (tmp_path / ".made.new").exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    os.mkfifo(tmp_path / "raw" / "train.txt")
    assert run(tmp_path / "raw", tmp_path / "made") == 1
    assert "has no train, such as train.txt" in capsys.readouterr().err


@pytest.mark.parametrize("length", [-5, 0, 2])
def test_a_length_without_room_for_a_word(
    length: int, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_tokenizer("bert").save_pretrained(tmp_path / "model")
    assert run(source, tmp_path / "made", "--model", tmp_path / "model", "--max-length", length) == 1
    assert f"--max-length is {length}, and 2 tokens are special; it must be above 2" in capsys.readouterr().err


def test_errors_leave_nothing(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(message: str, *words: object) -> None:
        assert run(*words) == 1
        assert message in capsys.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]

    refused("is no folder; it should hold files such as train.txt", tmp_path / "no", tmp_path / "made")
    refused("--pad needs --model", source, tmp_path / "made", "--pad")
    refused("raw exists; give the name of a folder", source, source)
    refused("has no train, such as train.txt", source / "test", tmp_path / "made")
    refused("cannot be loaded: ", source, tmp_path / "made", "--model", source)
    (source / "train.csv").write_text("text,label\na,joy\n")
    refused("has train several times: ", source, tmp_path / "made")
    (source / "train.csv").unlink()
    (source / "val.csv").write_text("text,label\na,hate\n")
    refused("val.csv, line 2 has the label 'hate', which no row of channel 'train' has", source, tmp_path / "made")
