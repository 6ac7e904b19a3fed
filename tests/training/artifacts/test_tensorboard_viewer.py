"""The events that `train` writes, read by TensorBoard itself, where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.container.metrics import read_rows
from byo_container.training.artifacts import tensorboard

pytest.importorskip("tensorboardX")
reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

METRICS = "time,step,metric,value\n1700000000.5,1,learning_rate,0.25\n1700000010,2,learning_rate,0.5\n"


def test_tensorboard_reads_what_we_write(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(METRICS)
    tensorboard.complete(read_rows((tmp_path / "metrics.csv").read_text()), tmp_path / "events")
    events = reader.EventAccumulator(str(tmp_path / "events")).Reload()
    assert events.Tags()["scalars"] == ["learning_rate"]
    found = [(event.wall_time, event.step, event.value) for event in events.Scalars("learning_rate")]
    assert found == [(1700000000.5, 1, 0.25), (1700000010.0, 2, 0.5)]
