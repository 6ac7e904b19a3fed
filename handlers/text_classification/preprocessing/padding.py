"""Rows of different lengths → tensors: padded to the longest of the batch, rounded up to a bucket. Few different
lengths let a compiler reuse what it has compiled, and multiples of 8 suit the matrix units of processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUCKET = 8
PADDED_TO = 512
"""What SageMaker's sample pads every row to."""
BATCHES_SORTED = 50
"""Transformers' sampler by length sorts so many random batches at a time (LengthGroupedSampler)."""


@dataclass(frozen=True)
class PadToBucket:
    """The data collator: rows with input_ids, labels and at times token_type_ids → tensors input_ids, attention_mask,
    token_type_ids (batch, length) and labels (batch,), all int64."""

    pad_token_id: int
    max_length: int
    bucket: int | tuple[int, ...] = BUCKET
    """Lengths are its multiples, or those of a list."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import torch

        lengths = [len(row["input_ids"]) for row in rows]
        width = bucket_of(max(lengths), self.bucket, self.max_length)
        made = {
            "input_ids": torch.tensor(_filled(rows, "input_ids", width, self.pad_token_id)),
            "attention_mask": torch.tensor([[1] * length + [0] * (width - length) for length in lengths]),
        }
        if "token_type_ids" in rows[0]:
            made["token_type_ids"] = torch.tensor(_filled(rows, "token_type_ids", width, 0))
        if "labels" in rows[0]:
            made["labels"] = torch.tensor([int(row["labels"]) for row in rows])
        return made


def _filled(rows: Sequence[Mapping[str, Any]], column: str, width: int, filler: int) -> list[list[int]]:
    values = [list(row[column]) for row in rows]
    return [value + [filler] * (width - len(value)) for value in values]


def bucket_of(length: int, bucket: int | Sequence[int], max_length: int) -> int:
    """The length to pad to: never above `max_length`, which is the last bucket, and never below `length`."""
    if isinstance(bucket, int):
        return max(length, min(max_length, -(-length // bucket) * bucket))
    return max(length, min((each for each in (*bucket, max_length) if each >= length), default=length))


@dataclass(frozen=True)
class Savings:
    """The tokens that an epoch computes, padding included, by the way of padding."""

    rows: int
    tokens: int
    """Those of the texts, without padding."""
    longest: int
    padded_to: int
    """What every row is padded to in the sample."""
    to_maximum: int
    in_random_batches: int
    """Each batch padded to its longest row."""
    in_buckets: int
    """Each batch padded to the bucket of its longest row, its rows chosen by length where they are."""

    def line(self) -> str:
        """For the log."""
        return (
            f"padding: {self.rows:,} texts of {self.tokens / self.rows:.1f} tokens on average and {self.longest} at "
            f"most; an epoch computes {self.in_buckets:,} tokens in buckets, where random batches would have "
            f"{self.in_random_batches:,}, and rows padded to {self.padded_to} {self.to_maximum:,} "
            f"({self.to_maximum / self.in_buckets:.1f} times as many)"
        )


def savings(
    lengths: Sequence[int],
    batch_size: int,
    max_length: int,
    bucket: int | Sequence[int] = BUCKET,
    by_length: bool = True,
    padded_to: int = PADDED_TO,
    seed: int = 0,
) -> Savings:
    """What padding in buckets saves. `lengths` are the tokens of each row, at least one; `by_length` tells whether
    batches are made of rows of similar length."""
    import numpy as np

    shuffled = np.random.default_rng(seed).permutation(np.asarray(lengths, np.int64))
    random_widths = _widths(shuffled, batch_size)
    ordered = _sorted_in_parts(shuffled, batch_size * BATCHES_SORTED) if by_length else shuffled
    widths = [(bucket_of(int(width), bucket, max_length), rows) for width, rows in _widths(ordered, batch_size)]
    return Savings(
        rows=len(shuffled),
        tokens=int(shuffled.sum()),
        longest=int(shuffled.max()),
        padded_to=max(padded_to, int(shuffled.max())),
        to_maximum=max(padded_to, int(shuffled.max())) * len(shuffled),
        in_random_batches=sum(width * rows for width, rows in random_widths),
        in_buckets=sum(width * rows for width, rows in widths),
    )


def _widths(lengths: npt.NDArray[np.int64], batch_size: int) -> list[tuple[int, int]]:
    """(the longest row, rows) of each batch."""
    starts = range(0, len(lengths), batch_size)
    return [(int((part := lengths[start : start + batch_size]).max()), len(part)) for start in starts]


def _sorted_in_parts(lengths: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    import numpy as np

    return np.concatenate([-np.sort(-lengths[start : start + size]) for start in range(0, len(lengths), size)])
