"""When a line of training figures is written, and what stands in it."""

from __future__ import annotations

import pytest

from byo_container.handlers.translation.training import metric_log
from byo_container.handlers.translation.training.metric_log import LogSchedule


def lines(interval: int, step_s: float, updates: int, first: int = 1) -> list[int]:
    """The updates after which there is a line, where each update takes `step_s` seconds."""
    schedule = LogSchedule(interval)
    return [update for update in range(first, first + updates) if schedule.is_due(update, 1000 + update * step_s)]


@pytest.mark.parametrize(
    ("interval", "step_s", "updates", "expected"),
    [
        (100, 0.01, 250, [1, 100, 200]),
        (100, 23.0, 4, [1, 2, 3, 4]),
        (100, 4.0, 8, [1, 4, 7]),
        (2, 4.0, 8, [1, 2, 4, 6, 8]),
    ],
)
def test_log_schedule_by_updates_and_seconds(interval: int, step_s: float, updates: int, expected: list[int]) -> None:
    assert lines(interval, step_s, updates) == expected


def test_resumed_job_logs_its_first_update() -> None:
    assert lines(100, 0.01, 150, first=43) == [43, 100]


def test_unmeasured_words_per_second_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    metric_log.log_metrics(1, {"loss": 9.5, "wps": 0.0}, metric_log.TRAINING)
    metric_log.log_metrics(2, {"loss": 9.0, "wps": 310.0}, metric_log.TRAINING)
    assert capsys.readouterr().out == "update 1: train_loss=9.5;\nupdate 2: train_loss=9; words_per_second=310;\n"
