"""Which pairs are for training and which for validation, with the limits of fairseq's prepare-iwslt14.sh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST, LONGEST = 1, 175  # words
RATIO = 1.5  # of the longer side to the shorter one
VALID_EVERY = 23  # of the remaining pairs


@dataclass(frozen=True)
class Kept:
    """The numbers, from 0, of the pairs that are kept, and how many others are dropped by reason."""

    pairs: list[int]
    dropped: dict[str, int]

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        return f"{len(self.pairs):,} pairs kept" + (f"; left out: {reasons}" if reasons else "")


def clean(source: Sequence[str], target: Sequence[str], only_empty: bool = False) -> Kept:
    """Keeps the pairs with 1 to 175 words on both sides, and neither side more than 1.5 times as long as the other. The
    lines have spaces between words. `only_empty`: drops only pairs with an empty side."""
    kept: list[int] = []
    dropped: Counter[str] = Counter()
    for number, (left, right) in enumerate(zip(source, target, strict=True)):
        reason = _fault(_count(left), _count(right), only_empty)
        if reason:
            dropped[reason] += 1
        else:
            kept.append(number)
    return Kept(kept, dict(sorted(dropped.items())))


def _count(words: str) -> int:
    return words.count(" ") + 1 if words else 0


def _fault(left: int, right: int, only_empty: bool) -> str | None:
    if min(left, right) < SHORTEST:
        return "with an empty side"
    if only_empty:
        return None
    if max(left, right) > LONGEST:
        return f"of more than {LONGEST} words"
    if max(left, right) / min(left, right) > RATIO:
        return f"with one side more than {RATIO} times as long"
    return None


def split(pairs: Sequence[int]) -> tuple[list[int], list[int]]:
    """The pairs for training, and every 23rd for validation."""
    train = [pair for number, pair in enumerate(pairs, 1) if number % VALID_EVERY]
    valid = [pair for number, pair in enumerate(pairs, 1) if number % VALID_EVERY == 0]
    return train, valid
