"""Metrics in lines of the log: ours, Keras's, Hugging Face's; and the file that they become."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container import metrics
from container.metrics import Recorder, parse, read_rows


@pytest.mark.parametrize(
    ("text", "step", "values"),
    [
        ("epoch 3/8: train_loss=0.4121; val_acc=0.9312;", 3, {"train_loss": 0.4121, "val_acc": 0.9312}),
        ("epoch 2, step 150: loss = 1e-3;", 150, {"loss": 0.001}),
        ("step=7; loss=-2.5;", 7, {"loss": -2.5}),
        ("[1,0]<stdout>:update 40: lr=.25;", 40, {"lr": 0.25}),
        ("loss=nan;", None, {"loss": float("nan")}),
        ("eval/bleu=41.2;", None, {"eval/bleu": 41.2}),
        (
            "125/125 ━━━━━ 1s 5ms/step - accuracy: 0.5122 - loss: 0.6931 - val_loss: 6.9e-01",
            None,
            {"accuracy": 0.5122, "loss": 0.6931, "val_loss": 0.69},
        ),
        ("1/9 - loss: 0.9\b\b\b\b9/9 - loss: 0.5", None, {"loss": 0.5}),
        ("  0%| \r 50%| step 5: loss=0.5;", 5, {"loss": 0.5}),
        ("{'loss': 0.52, 'learning_rate': 5e-05, 'epoch': 0.5}", 0.5, {"loss": 0.52, "learning_rate": 5e-05}),
        ("{'loss': '0.52', 'epoch': '1.0'}", 1, {"loss": 0.52}),
    ],
)
def test_a_line_with_metrics(text: str, step: float | None, values: dict[str, float]) -> None:
    found = parse(text)
    assert found is not None
    assert found.step == step
    assert found.values == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "loading 3 files",
        "epoch 3/8",
        "x = 3",
        "a.b=3; is not preceded by a name",
        "{'loss': ",
        "{'a': 'b'}",
        "{'loss': __import__('os').system('true')}",
        "GET /ping - 200: ok",
        "{'" * 50_000,
    ],
)
def test_a_line_without(text: str) -> None:
    found = parse(text)
    assert found is None or "b" not in found.values


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), st.floats(-1e30, 1e30), min_size=1))
def test_what_is_said_is_understood(values: dict[str, float]) -> None:
    values = {name: value for name, value in values.items() if name not in metrics.STEPS}
    found = parse(metrics.line("step 12", values))
    assert (found is None) == (not values)
    if found:
        assert found.step == 12
        assert found.values == pytest.approx(values, rel=1e-5)


def test_a_sagemaker_regex_reads_the_line() -> None:
    text = metrics.line("epoch 1/2", {"loss": 0.25, "val_acc": 0.5})
    assert re.findall("val_acc=(.*?);", text) == ["0.5"]


@given(st.text())
def test_no_line_is_too_strange(text: str) -> None:
    parse(text)


def test_the_recorder_writes_rows_that_are_read_again(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metrics.csv")
    for text in ("hello", "step 5: loss=0.5; lr=0.1;", "loss=0.25;", "Epoch 2/3", "9/9 - acc: 0.75"):
        recorder.note(text)
    rows = read_rows(recorder.path.read_text())
    assert [(row.metric, row.step, row.value) for row in rows] == [
        ("loss", 5, 0.5),
        ("lr", 5, 0.1),
        ("loss", 2, 0.25),  # its second, for want of a step
        ("acc", 2, 0.75),
    ]
    assert recorder.path.read_text().startswith("time,step,metric,value\n")


def test_a_folder_that_cannot_be_written_to_ends_the_recording_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "missing" / "metrics.csv")
    recorder.note("loss=1;")
    recorder.note("loss=2;")
    assert caplog.text.count("no more metrics are recorded") == 1


def test_half_a_row_is_left_out() -> None:
    assert [row.value for row in read_rows("time,step,metric,value\n1,2,loss,3\n1,2,lo")] == [3]
