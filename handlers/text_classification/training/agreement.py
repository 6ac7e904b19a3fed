"""What ranks have to decide together, though each has a clock and signals of its own."""

from __future__ import annotations

from typing import Any

from byo_container.container.rank import Rank


class Agreement:
    """Every rank has to make one, and to ask it as often as the others. It is gloo's, so that no GPU has to be waited
    for."""

    def __init__(self, rank: Rank) -> None:
        self._group: Any = None
        if rank.world_size > 1:
            import torch

            self._group = torch.distributed.new_group(backend="gloo")

    def any_rank(self, *wishes: bool) -> tuple[bool, ...]:
        """For each wish, whether any rank has it."""
        if self._group is None:
            return wishes
        import torch

        bits = torch.tensor(wishes, dtype=torch.uint8)
        torch.distributed.all_reduce(bits, torch.distributed.ReduceOp.MAX, group=self._group)
        return tuple(bool(bit) for bit in bits)
