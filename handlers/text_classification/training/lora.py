"""Low-rank adapters (LoRA), by peft: a few small matrices and the head are trained, the encoder is not."""

from __future__ import annotations

import re
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.suggest import did_you_mean
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters


def adapt(model: Any, chosen: Hyperparameters) -> Any:
    """The model with adapters, where the job sets lora_r; else the model as it is. Raises JobError."""
    if chosen.lora_r is None:
        return model
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=chosen.lora_r,
        lora_alpha=chosen.lora_alpha or 2 * chosen.lora_r,
        lora_dropout=chosen.lora_dropout,
        target_modules=targets(linear_layers(model), chosen.lora_target_modules),
        modules_to_save=heads(model),
    )
    return get_peft_model(model, config)


def described(model: Any) -> str:
    """How much of the model is trained, for the log; empty without adapters."""
    if not hasattr(model, "get_nb_trainable_parameters"):
        return ""
    trained, everything = model.get_nb_trainable_parameters()
    return f"LoRA: {trained:,} of {everything:,} parameters are trained, those of the adapters and of the head"


def merge(trainer: Any) -> None:
    """Adds the adapters to the weights of the Trainer's model, which serves without peft then."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        trainer.model = trainer.model_wrapped = model.merge_and_unload()


def linear_layers(model: Any) -> list[str]:
    """The full names of the linear layers in the encoder."""
    import torch

    prefix = f"{model.base_model_prefix}."
    found = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return [name for name in found if name.startswith(prefix) and ".pooler" not in f".{name}"]


def heads(model: Any) -> list[str]:
    """The parts beside the encoder, which are new and are trained as a whole."""
    return [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]


def targets(layers: list[str], asked: str | None) -> list[str]:
    """The `layers` to adapt: those whose last names are `asked` for, with commas between them or as a JSON list. Raises
    JobError."""
    names = re.findall(r"[\w.-]+", asked or "")
    if not names or names == ["all-linear"]:
        return layers
    known = sorted({layer.rpartition(".")[2] for layer in layers})
    for name in names:
        if not any(f".{layer}".endswith(f".{name}") for layer in layers):
            raise JobError(
                f"lora_target_modules has {name!r}, and the encoder no such layer; {did_you_mean(name, known)}"
            )
    return [layer for layer in layers if any(f".{layer}".endswith(f".{name}") for name in names)]
