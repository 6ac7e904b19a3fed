"""A request's inputs as work for the engine: in one call, or in sub-batches where one call may not have them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.work import Work

Join = Callable[[list[Any]], list[Any]]


class RequestInputs(Work):
    """One request's inputs, the most expensive of which costs `cost`. `join` makes the request's outputs of those that
    were computed, where the handler has split its inputs."""

    __slots__ = ("_indices", "_join")

    def __init__(self, inputs: list[Any], cost: float = 0.0, join: Join | None = None) -> None:
        self.item = inputs
        self.size = len(inputs)
        self.cost = cost
        self.sub_batches = ()
        self._join = join
        self._indices: Sequence[Sequence[int]] = ()

    def split(self, costs: list[float], policy: BatchPolicy) -> None:
        """Divides the inputs, which cost `costs`, into sub-batches."""
        self._indices = split_by_cost(costs, policy)
        self.sub_batches = [
            Work([self.item[n] for n in indices], len(indices), max(costs[n] for n in indices))
            for indices in self._indices
        ]

    def outputs(self, outcome: list[Any]) -> list[Any]:
        """The request's outputs in the order of its inputs, from what the engine returned."""
        outputs = self._in_order(outcome) if self.sub_batches else outcome
        return self._join(outputs) if self._join else outputs

    def _in_order(self, outcomes: list[list[Any]]) -> list[Any]:
        outputs: list[Any] = [None] * self.size
        for indices, computed in zip(self._indices, outcomes, strict=True):
            for index, output in zip(indices, computed, strict=True):
                outputs[index] = output
        return outputs


def split_by_cost(costs: list[float], policy: BatchPolicy) -> list[list[int]]:
    """The indices of the inputs of each sub-batch: sorted by cost, so that a handler that pads gets inputs of similar
    size, and none above the policy's limits unless it is a single input."""
    batches: list[list[int]] = []
    for index in sorted(range(len(costs)), key=costs.__getitem__):
        size = len(batches[-1]) + 1 if batches else 1
        if batches and size <= policy.max_size and size * costs[index] <= policy.max_cost:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
