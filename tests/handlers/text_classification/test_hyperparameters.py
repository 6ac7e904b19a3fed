"""The hyperparameters of a fine-tuning job."""

from __future__ import annotations

import pytest

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import parse
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters


def read(**texts: str) -> Hyperparameters:
    return parse(Hyperparameters, texts, "hyperparameters.json")


def test_those_of_the_sample() -> None:
    chosen = read(epochs="4", train_batch_size="24", learning_rate="3e-5", model_name="bert-base-uncased", fp16="True")
    assert chosen == Hyperparameters(model_id="bert-base-uncased", fp16=True)
    assert (chosen.eval_batch_size, chosen.compile, chosen.sampling, chosen.warmup) == (
        32,
        "auto",
        "group_by_length",
        0,
    )


@pytest.mark.parametrize(
    ("texts", "attribute", "value"),
    [
        ({"num_train_epochs": "2"}, "epochs", 2),
        ({"per-device-train-batch-size": "8"}, "train_batch_size", 8),
        ({"batch_size": "8"}, "train_batch_size", 8),
        ({"per_device_eval_batch_size": "8"}, "eval_batch_size", 8),
        ({"model_name_or_path": "roberta-base"}, "model_id", "roberta-base"),
        ({"lr": "1e-4"}, "learning_rate", 1e-4),
        ({"max_seq_length": "128"}, "max_length", 128),
        ({"group_by_length": "false"}, "sampling", "random"),
        ({"train_sampling_strategy": "sequential"}, "sampling", "sequential"),
        ({"warmup_ratio": "0.1"}, "warmup", 0.1),
        ({"warmup_steps": "500"}, "warmup", 500),
        ({"compile": "True"}, "compile", True),
        ({"compile": "false"}, "compile", False),
        ({"torch_compile": "auto"}, "compile", "auto"),
        ({"n_gpus": "8", "output_dir": "/opt/ml/model", "do_train": "True"}, "epochs", 4),
    ],
)
def test_other_names_and_what_they_mean(texts: dict[str, str], attribute: str, value: object) -> None:
    assert getattr(read(**texts), attribute) == value


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ({"epoch": "3"}, "unknown hyperparameter 'epoch'; did you mean 'epochs'"),
        ({"epochs": "0"}, "epochs = '0' is not right: it must be a whole number, at least 1"),
        ({"batch_size": "8", "train_batch_size": "8"}, "'train_batch_size' is given twice, as 'batch_size' and as"),
        ({"compile": "yes"}, "compile = 'yes' is not right: it must be true or false or auto"),
        ({"lr_scheduler_type": "cosin"}, "it must be one of linear, cosine"),
        ({"warmup_steps": "1", "warmup_ratio": "0.1"}, "warmup_steps=1 and warmup_ratio=0.1 exclude each other"),
        ({"fp16": "true", "bf16": "true"}, "fp16 and bf16 are both true"),
        ({"lora_alpha": "8", "lora_target_modules": "query"}, "lora_alpha, lora_target_modules would have no effect"),
    ],
)
def test_wrong_ones_are_refused(texts: dict[str, str], why: str) -> None:
    with pytest.raises(JobError, match=why):
        read(**texts)
