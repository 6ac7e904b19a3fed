"""Lines of metrics, from the history of the Trainer's state."""

from __future__ import annotations

import pytest

from byo_container.container.metrics import parse
from byo_container.handlers.text_classification.training import metric_log

EVALUATED = {"eval_loss": 0.5, "eval_accuracy": 0.75, "eval_f1": 0.5, "eval_runtime": 3.0}
HISTORY: list[dict[str, float]] = [
    {"loss": 2.0, "step": 1, "epoch": 0.25},
    {"loss": 1.0, "step": 4, "epoch": 1.0},
    {**EVALUATED, "step": 4, "epoch": 1.0},
    {"loss": 0.5, "step": 6, "epoch": 1.5},
    {**EVALUATED, "step": 6, "epoch": 1.5},
]


def test_the_training_loss_of_an_evaluation_is_the_mean_of_the_steps_before_it() -> None:
    assert metric_log.train_loss(HISTORY[:2]) == (2.0 + 3 * 1.0) / 4
    assert metric_log.train_loss(HISTORY[:4]) == 0.5
    assert metric_log.train_loss(HISTORY[:3]) is None


def test_epoch_lines() -> None:
    assert metric_log.epoch_lines(HISTORY, 4) == [
        "epoch 1/4: train_loss=1.25; eval_loss=0.5; eval_accuracy=0.75; eval_f1=0.5;",
        "epoch 1.5/4: train_loss=0.5; eval_loss=0.5; eval_accuracy=0.75; eval_f1=0.5;",
    ]


def test_what_process_1_reads_of_a_step_line() -> None:
    text = metric_log.step_line(120, 2668, {"batch_loss": 0.4, "samples_per_second": 81.5}, 430)
    assert text == "step 120/2668: batch_loss=0.4; samples_per_second=81.5; 8 min left"
    metrics = parse(text)
    assert metrics
    assert (metrics.values, metrics.step) == ({"batch_loss": 0.4, "samples_per_second": 81.5}, 120)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (12000, "3 h 20 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert metric_log.duration(seconds) == text


@pytest.mark.parametrize(
    ("values", "greater", "count"),
    [([], True, 0), ([0.5], True, 0), ([0.5, 0.4], True, 1), ([0.5, 0.4], False, 0), ([0.5, 0.5, 0.5], True, 2)],
)
def test_evaluations_without_gain(values: list[float], greater: bool, count: int) -> None:
    assert metric_log.evaluations_without_gain(values, greater) == count
