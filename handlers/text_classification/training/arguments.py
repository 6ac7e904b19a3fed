"""Hyperparameters → the arguments of Hugging Face's Trainer, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.training.precision import Precision

LENGTH = "length"
"""The column by which rows are sampled; see preprocessing/tokenizing.py."""


def training_arguments(
    chosen: Hyperparameters, precision: Precision, folder: Path, has_gpu: bool, ranks: int = 1
) -> dict[str, Any]:
    """The keyword arguments of TrainingArguments. `folder` is for checkpoints. When to log and to save besides each
    epoch is the matter of flow.py."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": chosen.epochs,
        "max_steps": chosen.max_steps or -1,
        "per_device_train_batch_size": chosen.train_batch_size,
        "per_device_eval_batch_size": chosen.eval_batch_size,
        "gradient_accumulation_steps": chosen.gradient_accumulation_steps,
        "learning_rate": chosen.learning_rate,
        "lr_scheduler_type": chosen.lr_scheduler_type,
        "warmup_steps": chosen.warmup,
        "weight_decay": chosen.weight_decay,
        "max_grad_norm": chosen.max_grad_norm,
        "label_smoothing_factor": chosen.label_smoothing,
        "optim": "adamw_torch_fused",
        "seed": chosen.seed,
        "train_sampling_strategy": chosen.sampling,
        "length_column_name": LENGTH,
        "remove_unused_columns": True,
        "activation_checkpointing": chosen.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if chosen.gradient_checkpointing else None,
        "bf16": precision.name == "bf16",
        "fp16": precision.name == "fp16",
        "use_cpu": not has_gpu,
        "ddp_backend": ("nccl" if has_gpu else "gloo") if ranks > 1 else None,
        "ddp_find_unused_parameters": False if ranks > 1 else None,
        "dataloader_num_workers": chosen.dataloader_num_workers,
        "dataloader_pin_memory": has_gpu,
        "dataloader_persistent_workers": chosen.dataloader_num_workers > 0,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "metric_for_best_model": chosen.metric_for_best_model,
        "greater_is_better": chosen.metric_for_best_model != "loss",
        "load_best_model_at_end": False,
        "save_total_limit": 3,
        "report_to": "none",
        "disable_tqdm": True,
    }
