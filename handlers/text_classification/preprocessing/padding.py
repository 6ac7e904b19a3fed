"""Rows of different lengths → tensors: padded to the longest of the batch, rounded up to a multiple of 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BUCKET = 8


@dataclass(frozen=True)
class PadToBucket:
    """The data collator: rows with input_ids and labels → tensors input_ids, attention_mask (batch, length) and labels
    (batch,)."""

    pad_token_id: int
    max_length: int
    bucket: int = BUCKET

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import torch

        width = bucket_of(max(len(row["input_ids"]) for row in rows), self.bucket, self.max_length)
        ids = torch.full((len(rows), width), self.pad_token_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[index, :length] = torch.as_tensor(row["input_ids"])
            mask[index, :length] = 1
        labels = torch.as_tensor([row["labels"] for row in rows])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def bucket_of(length: int, bucket: int, max_length: int) -> int:
    """The length to pad to."""
    return min(max_length, -(-length // bucket) * bucket)
