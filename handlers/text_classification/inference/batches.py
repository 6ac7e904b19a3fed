"""Which texts are computed together: those of similar length, as a batch is as wide as its longest text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MAX_TOKENS = 8_192
"""Of a batch, padding included; limits the memory."""


def by_length(lengths: Sequence[int], call_tokens: int, max_tokens: int = MAX_TOKENS) -> Iterator[list[int]]:
    """The numbers of the texts in each batch, the longest first. `call_tokens` of padding are allowed rather than
    another call, for larger batches more. A text with more than `max_tokens` is alone."""
    batch: list[int] = []
    width = padding = 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        missing = width - lengths[number]
        if batch and (padding + missing > call_tokens * (1 + len(batch) // 8) or width * (len(batch) + 1) > max_tokens):
            yield batch
            batch = []
        if not batch:
            width, padding, missing = lengths[number], 0, 0
        batch.append(number)
        padding += missing
    if batch:
        yield batch
