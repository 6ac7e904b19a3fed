"""TensorBoard events from the metric log."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from byo_container.container.metrics import Row
from byo_container.training.artifacts import tensorboard
from tests.support.processes import wait_until
from tests.support.tree import Tree
from tests.training.support.artifacts import PRINTS_METRICS, curve, events, run_report

MakeTree = Callable[..., Tree]


def test_metric_log_reader_returns_complete_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    follower = tensorboard.MetricLogReader(path)
    assert list(follower.rows()) == []
    path.write_text("time,step,metric,value\n1,1,loss,0.5\n1,2,lo")
    assert [row.step for row in follower.rows()] == [1]
    with path.open("a") as stream:
        stream.write("ss,0.25\n")
    assert [(row.step, row.value) for row in follower.rows()] == [(2, 0.25)]
    assert list(follower.rows()) == []


def test_metric_log_reader_skips_invalid_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "BLOCK_BYTES", 64)
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"\0" * 1000 + b"\n" + b"1,2,loss,3\n" * 100)
    assert len(list(tensorboard.MetricLogReader(path).rows())) == 100


def test_many_values_are_thinned_into_fewer_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(tensorboard, "MAX_UNTHINNED", 10)
    written = tensorboard.Events(tmp_path)
    written.write(curve("loss/a b", 105))
    written.write([Row(1.0, -3.0, "lr", 1e300)])
    written.close()
    assert [(tag, step) for tag, step, _ in events(tmp_path)] == [
        *[("loss/a_b", step) for step in (*range(10), *range(19, 100, 10))],
        ("lr", -3),
        ("loss/a_b", 104),
    ]


def test_report_writes_events_where_no_writer_has(ml: MakeTree) -> None:
    pytest.importorskip("tensorboardX")
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    tree.paths.metrics.write_text("1,1,loss,0.5\n1,2,loss,0.25\n")
    for _ in range(2):
        run_report(tree)
        assert [step for _, step, _ in events(tree.paths.tensorboard)] == [1, 2]


def test_tensorboard_events_are_written_without_importing_torch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    code = (
        "import sys, pathlib; from byo_container.training.artifacts import tensorboard\n"
        "from byo_container.container.metrics import Row\n"
        "writer = tensorboard.Events(pathlib.Path(sys.argv[1])); writer.write([Row(1, 1, 'a', 1)]); writer.close()\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True)
    assert len(events(tmp_path)) == 1


def test_tensorboard_events_are_written_while_the_job_runs(ml: MakeTree) -> None:
    tree = ml(code={"train.py": PRINTS_METRICS + "import time; time.sleep(60)"})
    process = tree.start()
    wait_until(lambda: len(events(tree.paths.tensorboard)) == 6, "the events")
    process.send_signal(signal.SIGTERM)
    assert tree.finish(process).status == 143
    assert tree.paths.report.is_file()
