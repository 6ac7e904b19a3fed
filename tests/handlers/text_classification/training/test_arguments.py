"""Hyperparameters as arguments of the Trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.training.arguments import training_arguments
from byo_container.handlers.text_classification.training.precision import Precision

BF16 = Precision("bf16", "")


def test_what_the_sample_sets() -> None:
    made = training_arguments(Hyperparameters(warmup_ratio=0.1), BF16, Path("/c"), has_gpu=False)
    expected: dict[str, object] = {
        "num_train_epochs": 4,
        "per_device_train_batch_size": 24,
        "per_device_eval_batch_size": 32,
    }
    expected |= {"learning_rate": 3e-5, "warmup_steps": 0.1, "max_steps": -1, "optim": "adamw_torch_fused"}
    expected |= {"bf16": True, "fp16": False, "use_cpu": True, "ddp_backend": None, "output_dir": "/c"}
    assert {name: made[name] for name in expected} == expected


def test_ranks_exchange_gradients_by_what_their_hardware_has() -> None:
    for has_gpu, backend in ((False, "gloo"), (True, "nccl")):
        assert training_arguments(Hyperparameters(), BF16, Path("/c"), has_gpu, 2)["ddp_backend"] == backend


@pytest.mark.parametrize(("metric", "greater"), [("accuracy", True), ("f1", True), ("loss", False)])
def test_the_best_model(metric: str, greater: bool) -> None:
    chosen = Hyperparameters(metric_for_best_model=metric)  # type: ignore[arg-type]
    assert training_arguments(chosen, BF16, Path("/c"), has_gpu=False)["greater_is_better"] == greater


def test_transformers_takes_all_of_them() -> None:
    transformers = pytest.importorskip("transformers")
    chosen = Hyperparameters(gradient_checkpointing=True, label_smoothing=0.1)
    transformers.TrainingArguments(**training_arguments(chosen, BF16, Path("/c"), has_gpu=False))
