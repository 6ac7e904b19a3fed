"""TrainingArguments of Transformers 4 in the names of the installed release.

https://github.com/huggingface/transformers/blob/main/MIGRATION_GUIDE_V5.md
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from byo_container.training.hugging_face.machine import COMPILER_FLAG, Machine

RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "no_cuda": "use_cpu",
    "warmup_ratio": "warmup_steps",  # below 1 it is a share of all steps
    "push_to_hub_model_id": "hub_model_id",
    "push_to_hub_token": "hub_token",
    "torchdynamo": "torch_compile_backend",
}
Translation = Callable[[Any], dict[str, Any]]
# By the old name, from its value to today's arguments.
TRANSLATED: dict[str, Translation] = {
    "evaluate_during_training": lambda value: {"eval_strategy": "steps"} if value else {},
    "adafactor": lambda value: {"optim": "adafactor"} if value else {},
    "group_by_length": lambda value: {"train_sampling_strategy": "group_by_length"} if value else {},
    "include_inputs_for_metrics": lambda value: {"include_for_metrics": ["inputs"]} if value else {},
    # Where events were written whenever TensorBoard was installed, which was by default.
    "logging_dir": lambda value: {"report_to": ["tensorboard"]} if value else {},
}
# What another argument, the library itself, or nothing does now.
GONE = frozenset(
    (
        "overwrite_output_dir",
        "fp16_opt_level",
        "fp16_backend",
        "half_precision_backend",
        "sharded_ddp",
        "fsdp_min_num_params",
        "fsdp_transformer_layer_cls_to_wrap",
        "past_index",
        "mp_parameters",
        "tpu_num_cores",
        "tpu_metrics_debug",
        "xpu_backend",
        "use_legacy_prediction_loop",
        "jit_mode_eval",
        "use_ipex",
        "use_mps_device",
        "ray_scope",
        "save_safetensors",
        "push_to_hub_organization",
        "dispatch_batches",
        "split_batches",
    )
)
RENAMED_VALUES = {"optim": {"adamw_hf": "adamw_torch"}}  # AdamW of Transformers' own
OLD = frozenset(RENAMED) | frozenset(TRANSLATED) | GONE
HALF = {"fp16": "bf16", "fp16_full_eval": "bf16_full_eval"}


def mapped(given: Mapping[str, Any], known: Collection[str], machine: Machine) -> tuple[dict[str, Any], list[str]]:
    """The arguments for a TrainingArguments that knows the names `known`, and a line for each that was mapped. What the
    script gives by today's name goes before; a name that no release had stays, for the library's own error."""
    arguments = {name: value for name, value in given.items() if name in known or name not in OLD}
    lines = []
    for name in (name for name in given if name in OLD and name not in known):
        value = given[name]
        new = {RENAMED[name]: value} if name in RENAMED else TRANSLATED.get(name, lambda _: {})(value)
        if "report_to" in new and not machine.has_tensorboard:
            new = {}
        used = {} if value is None else {key: it for key, it in new.items() if not arguments.get(key)}
        arguments |= used
        lines.append(f"{name}={value!r} {_became(used, bool(new))}")
    for name, values in RENAMED_VALUES.items():
        value = getattr(arguments.get(name), "value", arguments.get(name))  # of an enumeration, or a text
        if value in values:
            arguments[name] = values[value]
            lines.append(f"{name}={value!r} is {values[value]!r}")
    return _compiled(*_precise(arguments, lines, machine), known, machine)


def _became(used: Mapping[str, Any], has_new_name: bool) -> str:
    if used:
        return "is " + ", ".join(f"{name}={value!r}" for name, value in used.items())
    return "is left out" + (": its new name is given, or nothing to do" if has_new_name else "")


def _precise(arguments: dict[str, Any], lines: list[str], machine: Machine) -> tuple[dict[str, Any], list[str]]:
    """fp16 is for GPUs alone: a CPU computes in bf16 where it has instructions for it, else in fp32."""
    for fp16, bf16 in HALF.items():
        if arguments.get(fp16) and not machine.has_gpu:
            del arguments[fp16]
            if machine.has_bfloat16:
                arguments |= {bf16: True, "use_cpu": True}  # without use_cpu, bf16 too is for GPUs
            instead = f"is {bf16}=True" if machine.has_bfloat16 else "is left out, in fp32 it takes longer"
            lines.append(f"{fp16}=True {instead}: fp16 needs a GPU, and there is none")
    return arguments, lines


def _compiled(
    arguments: dict[str, Any], lines: list[str], known: Collection[str], machine: Machine
) -> tuple[dict[str, Any], list[str]]:
    """torch.compile in the place of SageMaker Training Compiler, unless the script says whether it is to be used."""
    if not machine.compile or "torch_compile" not in known:
        return arguments, lines
    asked = f"{COMPILER_FLAG}, SageMaker Training Compiler, which is no longer there,"
    if "torch_compile" in arguments:
        lines.append(f"{asked} changes nothing: the script says torch_compile={arguments['torch_compile']!r}")
    elif not machine.compiler:
        lines.append(
            f"{asked} changes nothing: torch.compile would take its place, and there is no compiler of C++ here"
        )
    else:
        arguments["torch_compile"] = True
        lines.append(f"{asked} is torch_compile=True")
    return arguments, lines
