"""The rows of one channel, as they were read: before labels are numbered and texts are tokenised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

Place = Callable[[int], str]
"""The number of a row → where it stands, for messages: `/opt/ml/input/data/train/train.csv, line 3`."""
Tell = Callable[[str], None]
"""Takes a line for the log."""

TEXT, TOKENS, LABEL, ROW = "text", "input_ids", "label", "row"
TOKEN_COLUMNS = (TOKENS, "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Rows:
    """`data` has the column text, or input_ids and what belongs to it (attention_mask, token_type_ids), or both."""

    channel: str
    data: Dataset
    labels: Sequence[Any]
    """One of each row, as it was read: a name or a number."""
    names: tuple[str, ...] | None
    """The names of the numbers 0, 1, … in `labels`, where the channel has them."""
    place: Place


def listed(values: Sequence[Any], most: int = 10) -> str:
    """The first values, with commas between, and how many more there are."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more


def shortened(text: str, most: int = 60) -> str:
    """A value as a message quotes it."""
    return repr(text if len(text) <= most else text[:most] + "…")
