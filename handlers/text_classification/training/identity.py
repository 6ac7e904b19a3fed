"""What determines a training, and so which checkpoints belong to it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.container.files import digest
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from datasets import Dataset

SETTINGS = (
    *("seed", "train_batch_size", "gradient_accumulation_steps", "sampling", "max_steps"),
    *("learning_rate", "lr_scheduler_type", "warmup", "weight_decay", "max_grad_norm", "label_smoothing"),
    *("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "metric_for_best_model"),
)
"""A job that resumes may change all others: when it ends, what is logged and saved, how fast it computes."""
MEANINGS = {
    "labels": "were made with other labels",
    "data": "were made from other texts, or from texts that were tokenised otherwise",
    **{name: f"were made with another {name}" for name in SETTINGS},
    "ranks": "were made by another number of ranks, so that the place in the data which they note does not fit",
    "model": "were made from another model",
}
"""What a difference means; the first one is reported."""


def identify(chosen: Hyperparameters, labels: tuple[str, ...], data: str, model: Any, rank: Rank) -> dict[str, Any]:
    """Values for the keys of MEANINGS, as JSON has them. `model` is that before the first step."""
    settings = {name: getattr(chosen, name) for name in SETTINGS}
    ranks = rank.world_size
    return {"labels": list(labels), "data": data, **settings, "ranks": ranks, "model": of_model(model)}


def of_data(*parts: Dataset) -> str:
    """The digest of tokenised rows, in their order."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        for rows in part.select_columns(["input_ids", "labels"]).with_format("numpy").iter(1000):
            for ids in rows["input_ids"]:
                hashed.update(len(ids).to_bytes(8, "big"))
                hashed.update(ids.astype("<i8").tobytes())
            hashed.update(rows["labels"].astype("<i8").tobytes())
    return hashed.hexdigest()[: digest.LENGTH]


def of_model(model: Any) -> str:
    """The digest of all parameters and buffers, by name."""
    import torch

    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode())
        # As bytes: NumPy has no bfloat16.
        hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()[: digest.LENGTH]


def check_same(what: str, digest_of_rank: str, rank: Rank) -> None:
    """Raises JobError on all ranks where these have different data or models."""
    everyone = rank.gather(digest_of_rank)
    others = [number for number, other in enumerate(everyone) if other != everyone[0]]
    if others:
        raise JobError(
            f"rank {', '.join(map(str, others))} has {what} that differ from those of rank 0: every host needs the "
            "same channels (S3DataDistributionType FullyReplicated); the ranks share the rows among them"
        )
