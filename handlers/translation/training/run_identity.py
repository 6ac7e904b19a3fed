"""The settings that determine a training, and so which checkpoints belong to it. A job that resumes may change all
others: when it ends, what is saved, measured and logged, and the hardware."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from byo_container.handlers.translation.training.fairseq_parser import CHOICES
from byo_container.handlers.translation.training.option_names import fixed_option

MAY_CHANGE = frozenset(
    {
        # when it ends
        *("max_epoch", "max_update", "stop_time_hours", "stop_min_lr", "patience"),
        # what is measured, saved and logged
        *("log_interval", "no_epoch_checkpoints", "fixed_validation_seed", "disable_validation", "max_tokens_valid"),
        *("batch_size_valid", "max_valid_steps", "ignore_unused_valid_subsets", "combine_valid_subsets"),
        *("skip_invalid_size_inputs_valid_test", "profile", "suppress_crashes", "report_accuracy"),
        # how it is computed
        *("cpu", "amp", "fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16", "on_cpu_convert_precision"),
        *("num_workers", "data_buffer_size", "empty_cache_freq", "all_gather_list_size", "use_plasma_view"),
        *("plasma_path", "ddp_backend", "bucket_cap_mb", "find_unused_parameters", "gradient_as_bucket_view"),
        *("fast_stat_sync", "heartbeat_timeout", "broadcast_buffers", "checkpoint_activations", "offload_activations"),
        # how it resumes, and what it starts from
        *("optimizer_overrides", "continue_once", "finetune_from_model", "load_checkpoint_on_all_dp_ranks"),
        # compared otherwise, see checkpoints.py
        *("arch", "source_lang", "target_lang"),
    }
)
PREFIXES = ("save_", "keep_", "validate_", "eval_", "reset_", "amp_", "fp16_")
RESETS = ("reset_optimizer", "reset_lr_scheduler", "reset_meters", "reset_dataloader")


def identify(options: Namespace, chosen: Iterable[str]) -> dict[str, Any]:
    """Those of fairseq's `options`, all defaults included, that a job must not change when it resumes, as JSON values.
    Options that others depend on come first: CHOICES, then those that the job has `chosen`."""
    values = vars(options)
    names = dict.fromkeys([*CHOICES, *chosen, *values])
    return {name: _plain(values[name]) for name in names if name in values and not _may_change(name)}


def resets(options: Namespace) -> bool:
    """Whether a job resumes with other settings than those of its checkpoint, by fairseq's options for that."""
    return any(getattr(options, name) for name in RESETS) or options.optimizer_overrides != "{}"


def _may_change(name: str) -> bool:
    return name in MAY_CHANGE or name.startswith(PREFIXES) or fixed_option(name, has_gpu=False) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # such as the learning rate, which may be a list by epoch
    return json.loads(json.dumps(value, default=str))
