"""Metrics in lines of the log: ours, Keras's, Hugging Face's; and the file that they become."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byo_container.container import metrics
from byo_container.container.metrics import Allowance, Recorder, candidates, is_kept, parse, read_rows
from tests.support.processes import wait_until


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
        ("{'eval_loss': 0.7, 'eval_runtime': 1.5}", None, {"eval_loss": 0.7, "eval_runtime": 1.5}),
        ("{'reward': 0.7, 'epoch': 2}", 2, {"reward": 0.7}),
        ("global_step 5 of epoch 1: loss=1;", 5, {"loss": 1}),
        ("Iteration #20 | loss=1;", 20, {"loss": 1}),
        ("substep 4, epoch 2: loss=1;", 2, {"loss": 1}),
    ],
)
def test_line_with_metrics(text: str, step: float | None, values: dict[str, float]) -> None:
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
        "{'reward': 1, 0x" + "f" * 5000 + ": 2}",
        "{'loss': __import__('os').system('true')}",
        "GET /ping - 200: ok",
        "{'" * 50_000,
    ],
)
def test_line_without_metrics(text: str) -> None:
    found = parse(text)
    assert found is None or "b" not in found.values


@pytest.mark.parametrize(
    "text",
    [
        "{'learning_rate': 0.1, 'batch_size': 32, 'epochs': 3}",
        "{'loss': 'mse', 'lr': 0.1}",
        "{'train_batch_size': 32, 'eval_batch_size': 64}",
        "{'algo-1': 8, 'algo-2': 8}",
    ],
)
def test_dictionary_that_is_not_of_the_trainer(text: str) -> None:
    assert parse(text) is None


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), st.floats(-1e30, 1e30), min_size=1))
def test_our_own_lines_are_parsed(values: dict[str, float]) -> None:
    values = {name: value for name, value in values.items() if name not in metrics.STEPS}
    found = parse(metrics.line("step 12", values))
    assert (found is None) == (not values)
    if found:
        assert found.step == 12
        assert found.values == pytest.approx(values, rel=1e-5)


def test_sagemaker_regex_matches_the_line() -> None:
    text = metrics.line("epoch 1/2", {"loss": 0.25, "val_acc": 0.5})
    assert re.findall("val_acc=(.*?);", text) == ["0.5"]


WORDS = [
    "loss",
    "=",
    ";",
    " ",
    "0.5",
    "nan",
    "-1e-5",
    " - ",
    ": ",
    "{'",
    "'",
    "}",
    "epoch ",
    "Epoch 3/8",
    "\r",
    "é",
    "1",
]


@given(st.lists(st.sampled_from(WORDS)).map("".join) | st.text().filter(lambda text: "\n" not in text))
def test_candidates_have_every_line_with_metrics(text: str) -> None:
    """Most lines are passed over without being decoded: never one with metrics."""
    lines = f"first\n{text}\nlast=1".encode("utf-8", "replace")
    if parse(text) or metrics.HEADING.fullmatch(text.strip()):
        assert text in candidates(lines)


def test_candidates_are_whole_lines_in_their_order() -> None:
    lines = b"a=1;\n\nx\n - b: 2\nEpoch 1/2\nc=3; d=4; - e: 5\n{'loss': 1}\n" + b"y" * 10_000 + b"f=6;"
    found = candidates(lines)
    assert found[:-1] == ["a=1;", " - b: 2", "Epoch 1/2", "c=3; d=4; - e: 5", "{'loss': 1}"]
    assert found[-1].endswith("yf=6;")
    assert len(found[-1]) < 10_000


@given(st.text() | st.text(alphabet="{}[]()':, 1aej+-*").map("{'".__add__))
@example("{'loss': 1" + "0" * 400 + "}")
@example("{'loss': 1, []: 2}")
def test_parse_accepts_any_line(text: str) -> None:
    parse(text)


def recorded(recorder: Recorder) -> list[tuple[str, float, float]]:
    return [(row.metric, row.step, row.value) for row in read_rows(recorder.path.read_text())]


def test_rows_of_the_recorder_are_read_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metrics.csv")
    recorder.note(b"hello\nstep 5: loss=0.5; lr=0.1;\nloss=0.25;\n")
    assert len(recorded(recorder)) == 3, "followers see them at once"
    recorder.note(b"Epoch 2/3\n9/9 - acc: 0.75\n{'a, \"b\"': 1, 'loss': 3, 'epoch': 7}\n")
    assert recorded(recorder) == [
        ("loss", 5, 0.5),
        ("lr", 5, 0.1),
        ("loss", 2, 0.25),  # its second, for want of a step
        ("acc", 2, 0.75),
        ('a, "b"', 7, 1),
        ("loss", 7, 3),
    ]
    assert recorder.path.read_text().startswith("time,step,metric,value\n")


def test_unwritable_folder_ends_only_the_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "missing" / "metrics.csv")
    recorder.note(b"loss=1;\n")
    recorder.note(b"loss=2;\n")
    assert caplog.text.count("no more metrics are recorded") == 1


def test_lines_without_metrics_are_fast(tmp_path: Path) -> None:
    """A call for every line would hold back a program that writes a hundred thousand a second."""
    line = b"2026-01-31 12:00:00,123 INFO trainer: batch 7 of 9, lr=0.001 - 12.5 samples/s; x = y\n"
    recorder, calls = Recorder(tmp_path / "metrics.csv"), 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        recorder.note(line * 1000)
    finally:
        sys.setprofile(None)
    assert calls < 100
    assert not recorder.path.exists()


def test_link_at_the_path_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder, elsewhere = Recorder(tmp_path / "metrics.csv"), tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    recorder.path.symlink_to(elsewhere)
    recorder.note(b"epoch 1: loss=1;\n")
    recorder.note(b"")
    assert elsewhere.read_text() == "theirs"
    assert "cannot write" in caplog.text


def test_fifo_at_the_path_does_not_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "metrics.csv")
    os.mkfifo(recorder.path)
    recorder.note(b"loss=1;\n")
    assert "no more metrics are recorded" in caplog.text


def test_many_values_of_a_metric_are_thinned_and_the_last_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "ALL_OF", 100)
    recorder = Recorder(tmp_path / "metrics.csv", Allowance(1e9, 1))
    for number in range(1, 1226):
        recorder.note(b"step %d: loss=1;\n" % number + (b"step %d: val=1;\n" % number if number % 200 == 0 else b""))
    recorder.note(b"")
    rows = recorded(recorder)
    assert [step for name, step, _ in rows if name == "loss"] == [
        *range(1, 101),
        *range(110, 1001, 10),
        *(1100, 1200, 1225),
    ]
    assert [step for name, step, _ in rows if name == "val"] == list(range(200, 1201, 200))


@pytest.mark.parametrize(("count", "kept"), [(100, 100), (1000, 190), (10_000, 280), (100_000, 370)])
def test_thinning_increases_with_the_number_of_values(count: int, kept: int) -> None:
    assert sum(is_kept(number, 100) for number in range(1, count + 1)) == kept


def test_number_of_metric_names_is_limited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "metrics.csv", Allowance(1e9, 1))
    recorder.note(b"".join(b"loss_of_step_%d=1;\n" % number for number in range(3000)))
    recorder.note(b"loss_of_step_0=2;\nanother=1;\n")
    rows = recorded(recorder)
    assert len({name for name, _, _ in rows}) == metrics.MOST_NAMES
    assert rows[-1] == ("loss_of_step_0", 2, 2)
    assert caplog.text.count("no new ones are recorded") == 1


def test_flood_of_metrics_is_recorded_in_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "metrics.csv", Allowance(1e-9, 0))
    for number in range(10):
        recorder.note(b"step %d: loss=1;\n" % number)
    recorder.note(b"no more\n")
    recorder.note(b"")
    assert [step for _, step, _ in recorded(recorder)] == [0, 9]
    assert caplog.text.count("a part of them is left out") == 1


def test_allowance_recovers_with_time() -> None:
    allowance = Allowance(at_once_s=0.001, share=0.01)
    assert not allowance.spent()
    with allowance.spend():
        sum(range(300_000))
    assert allowance.spent()
    wait_until(lambda: not allowance.spent(), "the time that pays for it")


@pytest.mark.parametrize(
    "text",
    [
        "1,2,lo",
        '1,2,"lo',
        "x" * 200_000 + ",1,2,3",
        "1,1e300,loss,1",
        "nan,1,loss,1",
        "1,inf,loss,1",
        "time,step,metric,value",
        "",
    ],
)
def test_malformed_rows_are_skipped(text: str) -> None:
    assert [row.value for row in read_rows(f"{text}\n1,2,loss,3\n{text}")] == [3]


def test_huge_integer_does_not_spoil_other_metrics(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metrics.csv")
    recorder.note(b"{'loss': 1.0, 0x%s: 2, 'epoch': 1}\n" % (b"f" * 5000))
    recorder.note(b"loss=2;\n")
    assert [(name, value) for name, _, value in recorded(recorder)] == [("loss", 1), ("loss", 2)]


def test_recorder_error_ends_the_recording_not_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Allowance):
        def spent(self) -> bool:
            raise RecursionError("too deep")

    recorder = Recorder(tmp_path / "metrics.csv", Broken(1, 1))
    for _ in range(2):
        recorder.note(b"loss=1;\n")
    assert caplog.text.count("no more metrics are recorded: RecursionError: too deep") == 1
