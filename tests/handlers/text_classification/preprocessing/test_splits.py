"""Labels of all channels, numbered alike, and the rows to validate with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("datasets")
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing import splits
from byo_container.handlers.text_classification.preprocessing.splits import Splits

TWO = ["a;joy", "b;fear", "c;joy"]


def read(root: Path, seed: int = 1, **channels: Sequence[str]) -> Splits:
    for name, lines in channels.items():
        (root / name).mkdir()
        (root / name / "rows.txt").write_text("".join(f"{line}\n" for line in lines))
    return splits.read({name: Channel(name, root / name) for name in channels}, seed)


def save(folder: Path, labels: Sequence[object], names: list[str] | None) -> Channel:
    kind = ClassLabel(names=names) if names else Value("int64" if isinstance(labels[0], int) else "float64")
    features = Features({"text": Value("string"), "label": kind})
    made = Dataset.from_dict(
        {"text": [f"text {row}" for row in range(len(labels))], "label": labels}, features=features
    )
    made.save_to_disk(folder)
    return Channel(folder.name, folder)


def test_names_are_sorted_and_numbered_alike(tmp_path: Path) -> None:
    found = read(tmp_path, train=["a;joy", "b;fear"], validation=["c;joy"], test=["d;joy", "e;fear"])
    assert found.labels == ("fear", "joy")
    assert found.test is not None
    assert [list(part["label"]) for part in (found.train, found.validation, found.test)] == [[1, 0], [1], [1, 0]]
    assert found.train[0] == {"text": "a", "label": 1, "row": 1}


def test_numbers_are_sorted_as_numbers_and_gaps_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(tmp_path, train=["a;10", "b;2", "c;10"], test=["d;2"])
    assert (found.labels, list(found.train["label"])) == (("2", "10"), [1, 0, 1])
    said = capsys.readouterr().out
    assert "labels are the numbers 2, 10, not 0 to 1" in said
    assert "warning: channel 'test' has no row with the label 10" in said


def test_class_labels_keep_names_and_order_beside_numbers_and_names(tmp_path: Path) -> None:
    train = save(tmp_path / "train", [2, 0, 2], ["joy", "love", "fear"])
    test = save(tmp_path / "test", [0, 2], None)
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "rows.csv").write_text("text,label\na,fear\n")
    channels = {"train": train, "test": test, "validation": Channel("validation", tmp_path / "validation")}
    found = splits.read(channels, 1)
    assert found.labels == ("joy", "love", "fear")
    assert found.test is not None
    assert [list(part["label"]) for part in (found.train, found.validation, found.test)] == [[2, 0, 2], [2], [0, 2]]


def test_numbers_in_csv_beside_class_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = save(tmp_path / "train", [2, 0, 2], ["joy", "love", "fear"])
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "rows.csv").write_text("text,label\na,2\nb,joy\n")
    found = splits.read({"train": train, "test": Channel("test", tmp_path / "test")}, 1)
    assert list(found.validation["label"]) == [2, 0]
    assert "warning: channel 'train' has no row with the label love" in capsys.readouterr().out


def test_validation_without_a_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(tmp_path, train=TWO, test=["d;joy", "e;fear"])
    assert (len(found.validation), found.test) == (2, None)
    labels = ["joy"] * 60 + ["fear"] * 20 + ["love"] * 2 + ["rare"]
    lines = [f"text {row};{label}" for row, label in enumerate(labels)]
    first = _held_out(tmp_path / "x", lines, 1)
    assert Counter(first.labels[label] for label in first.validation["label"]) == {"joy": 6, "fear": 2, "love": 1}
    assert sorted([*first.train["row"], *first.validation["row"]]) == list(range(1, 84))
    assert "9 of 83 rows of 'train', a tenth of each label, are held out" in capsys.readouterr().out
    again, other = _held_out(tmp_path / "y", lines, 1), _held_out(tmp_path / "z", lines, 2)
    assert list(first.validation["row"]) == list(again.validation["row"]) != list(other.validation["row"])


def _held_out(folder: Path, lines: Sequence[str], seed: int) -> Splits:
    folder.mkdir()
    return read(folder, seed, train=lines)


def test_a_dictionary_gives_the_other_channels(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["joy", "fear"])})
    parts = {
        name: Dataset.from_dict({"text": texts, "label": [0, 1][: len(texts)]}, features=features)
        for name, texts in (("train", ["a", "b"]), ("validation", ["c"]), ("test", ["d"]))
    }
    DatasetDict(parts).save_to_disk(tmp_path / "train")
    found = splits.read({"train": Channel("train", tmp_path / "train")}, 1, quiet=True)
    assert found.test is not None
    assert [list(part["text"]) for part in (found.train, found.validation, found.test)] == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a;joy", "b;joy"], ["c;joy"], "channel 'train': every row has the label 'joy'; there should be two"),
        (
            TWO,
            ["c;joy", "d;hapiness"],
            "rows.txt, line 2 has the label 'hapiness', which no row of channel 'train' has ('hapiness': 1 of 2 rows)",
        ),
        (["a;joy", "b;"], TWO, "channel 'train': {root}/train/rows.txt, line 2 has no label (1 of 2 rows)"),
        (TWO, ["c;"], "channel 'test': {root}/test/rows.txt, line 1 has no label (every row)"),
        (["a;joy", "b;  "], TWO, "channel 'train': {root}/train/rows.txt, line 2 has no label (1 of 2 rows)"),
        (["a;0.0", "b;1.0"], ["c;1.0"], "rows.txt, line 1 has the label '0.0'; labels should be names or whole n"),
        (
            ["a;1", f"b;{'9' * 5000}"],
            ["c;1"],
            f"rows.txt, line 2 has the label '{'9' * 60}…'; labels should be names or wh",
        ),
        ([f"a;{row}x" for row in range(60)], TWO, "each of 60 rows has a label of its own"),
    ],
)
def test_bad_labels_are_explained(tmp_path: Path, train: list[str], test: list[str], message: str) -> None:
    with pytest.raises(JobError, match=re.escape(message.format(root=tmp_path))):
        read(tmp_path, train=train, test=test)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0.0, 1.0], None, "row 1 has the label 0.0, a decimal number"),
        ([0, -1], ["a", "b"], "row 2 has the label -1, which means no label"),
        ([0, None], ["a", "b"], "row 2 has no label (1 of 2 rows)"),
        ([0, 1], ["b", "a"], "the channels 'train' and 'test' have different names of labels: a, b and b, a"),
        ([0, 2], None, "row 2 has the label 2, and there are 2 names of labels, numbered from 0: a, b"),
    ],
)
def test_bad_labels_of_data_sets_are_explained(
    tmp_path: Path, labels: list[object], names: list[str] | None, message: str
) -> None:
    channels = {"train": save(tmp_path / "train", [0, 1], ["a", "b"]), "test": save(tmp_path / "test", labels, names)}
    with pytest.raises(JobError, match=re.escape(message)):
        splits.read(channels, 1)


def test_a_job_without_train_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"needs a channel 'train', .* its channels are: code, test"):
        read(tmp_path, test=TWO, code=TWO)


def test_channels_may_have_the_names_of_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(tmp_path, training=["a;joy", "b;fear"], eval=["c;joy", "d;fear"], model=["x;y"], extra=TWO)
    assert (list(found.train["text"]), list(found.validation["text"]), found.test) == (["a", "b"], ["c", "d"], None)
    assert capsys.readouterr().out.splitlines() == [
        "the channel 'training' is taken for 'train'",
        "the channel 'eval' is taken for 'validation'",
        "not read: channel extra; those of texts are train, validation, test",
    ]


def test_a_channel_of_another_name_takes_its_split_of_a_dictionary(tmp_path: Path) -> None:
    parts = DatasetDict({name: _rows([name, "b"]) for name in ("train", "validation")})
    parts.save_to_disk(tmp_path / "training")
    parts.save_to_disk(tmp_path / "eval")
    found = splits.read({name: Channel(name, tmp_path / name) for name in ("training", "eval")}, 1)
    assert (found.train["text"][0], found.validation["text"][0]) == ("train", "validation")


def _rows(texts: Sequence[str]) -> Dataset:
    return Dataset.from_dict({"text": texts, "label": ["joy", "fear"]})
