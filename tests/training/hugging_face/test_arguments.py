"""TrainingArguments of Transformers 4 in today's names."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.training.hugging_face.arguments import mapped
from byo_container.training.hugging_face.machine import Machine

KNOWN = {
    "output_dir",
    "eval_strategy",
    "per_device_train_batch_size",
    "use_cpu",
    "warmup_steps",
    "optim",
    "train_sampling_strategy",
    "include_for_metrics",
    "report_to",
    "fp16",
    "bf16",
    "fp16_full_eval",
    "bf16_full_eval",
    "torch_compile",
    "hub_token",
}
GPU = Machine(has_gpu=True, has_bfloat16=True, has_tensorboard=True, compiler=True)
CPU = Machine(has_bfloat16=True, compiler=True)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"output_dir": "o", "eval_strategy": "no"}, {"output_dir": "o", "eval_strategy": "no"}),
        ({"evaluation_strategy": "epoch"}, {"eval_strategy": "epoch"}),
        ({"evaluation_strategy": "epoch", "eval_strategy": "steps"}, {"eval_strategy": "steps"}),
        ({"evaluate_during_training": True}, {"eval_strategy": "steps"}),
        ({"evaluate_during_training": False}, {}),
        ({"per_gpu_train_batch_size": 8}, {"per_device_train_batch_size": 8}),
        ({"per_gpu_train_batch_size": None}, {}),
        ({"no_cuda": True}, {"use_cpu": True}),
        ({"warmup_ratio": 0.1, "warmup_steps": 0}, {"warmup_steps": 0.1}),
        ({"warmup_ratio": 0.1, "warmup_steps": 500}, {"warmup_steps": 500}),
        ({"adafactor": True}, {"optim": "adafactor"}),
        ({"group_by_length": True}, {"train_sampling_strategy": "group_by_length"}),
        ({"include_inputs_for_metrics": True}, {"include_for_metrics": ["inputs"]}),
        ({"logging_dir": "logs"}, {"report_to": ["tensorboard"]}),
        ({"logging_dir": "logs", "report_to": "none"}, {"report_to": "none"}),
        ({"overwrite_output_dir": True, "fp16_opt_level": "O2", "save_safetensors": False}, {}),
        ({"push_to_hub_token": "t"}, {"hub_token": "t"}),
        ({"optim": "adamw_torch_fused"}, {"optim": "adamw_torch_fused"}),
        ({"no_release_had_this": 1}, {"no_release_had_this": 1}),  # Transformers' own error names it
    ],
)
def test_old_names_become_new_ones(given: dict[str, Any], arguments: dict[str, Any]) -> None:
    found, lines = mapped(given, KNOWN, GPU)
    assert found == arguments
    assert len(lines) == len([name for name in given if name not in KNOWN and "release" not in name])


def test_an_optimizer_that_is_gone() -> None:
    assert mapped({"optim": "adamw_hf"}, KNOWN, GPU) == (
        {"optim": "adamw_torch"},
        ["optim='adamw_hf' is 'adamw_torch'"],
    )


def test_a_release_that_knows_the_old_names_gets_them() -> None:
    given = {"evaluation_strategy": "epoch", "no_cuda": True, "overwrite_output_dir": True}
    assert mapped(given, {*given, "eval_strategy"}, GPU) == (given, [])


def test_no_events_are_asked_for_where_nothing_can_write_them() -> None:
    assert mapped({"logging_dir": "logs"}, KNOWN, CPU) == ({}, ["logging_dir='logs' is left out"])


@pytest.mark.parametrize(
    ("machine", "arguments", "said"),
    [
        (GPU, {"fp16": True, "fp16_full_eval": False}, ""),
        (CPU, {"bf16": True, "use_cpu": True, "fp16_full_eval": False}, "fp16=True is bf16=True: fp16 needs a GPU"),
        (Machine(), {"fp16_full_eval": False}, "fp16=True is left out, in fp32 it takes longer: fp16 needs a GPU"),
    ],
)
def test_fp16_without_a_gpu_is_what_the_cpu_has(machine: Machine, arguments: dict[str, Any], said: str) -> None:
    found, lines = mapped({"fp16": True, "fp16_full_eval": False}, KNOWN, machine)
    assert found == arguments
    assert " ".join(lines).startswith(said)


@pytest.mark.parametrize(
    ("compiler", "given", "arguments", "said"),
    [
        (True, {}, {"torch_compile": True}, "no longer there, is torch_compile=True"),
        (
            True,
            {"torch_compile": False},
            {"torch_compile": False},
            "changes nothing: the script says torch_compile=False",
        ),
        (False, {}, {}, "changes nothing: torch.compile would take its place, and there is no compiler of C++ here"),
    ],
)
def test_training_compiler_is_torch_compile(
    compiler: bool, given: dict[str, Any], arguments: dict[str, Any], said: str
) -> None:
    found, (line,) = mapped(given, KNOWN, Machine(compile=True, compiler=compiler))
    assert found == arguments
    assert line.startswith("sagemaker_training_compiler_enabled")
    assert line.endswith(said)
