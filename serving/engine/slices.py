"""A request's inputs for the engine: for one call, or in slices where they are more than one call may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from byo_container.serving.engine.queue import Slice, Slices


def _as_they_are(inputs: list[Any]) -> Any:
    return inputs


class Work:
    """What `predict` is to compute for one request: `inputs`, of which the dearest costs `cost`. `slices` are the
    numbers of the inputs in each, where one call may not have all of them, and `costs` then those of each input; `join`
    makes the request's outputs of these, where the handler has split its inputs."""

    __slots__ = ("cost", "costs", "inputs", "join", "slices")  # a dataclass would take a microsecond longer

    def __init__(
        self,
        inputs: list[Any],
        cost: float = 0.0,
        slices: Sequence[Sequence[int]] = (),
        costs: Sequence[float] = (),
        join: Callable[[list[Any]], list[Any]] | None = None,
    ) -> None:
        self.inputs = inputs
        self.cost = cost
        self.slices = slices
        self.costs = costs
        self.join = join

    def outputs(self, submit: Callable[..., Any], item: Callable[[list[Any]], Any] = _as_they_are) -> list[Any]:
        """One output for each of the request's inputs, by Engine.submit; `item` makes an item for it of some inputs.
        Raises what the model raises."""
        if self.slices:
            outputs = self._in_slices(submit, item)
        else:
            outputs = submit(item(self.inputs), len(self.inputs), self.cost)
        return self.join(outputs) if self.join else outputs

    def _in_slices(self, submit: Callable[..., Any], item: Callable[[list[Any]], Any]) -> list[Any]:
        computed = submit(
            Slices(
                Slice(item([self.inputs[n] for n in numbers]), len(numbers), max(self.costs[n] for n in numbers))
                for numbers in self.slices
            )
        )
        outputs: list[Any] = [None] * len(self.inputs)
        for numbers, found in zip(self.slices, computed, strict=True):
            for number, output in zip(numbers, found, strict=True):
                outputs[number] = output
        return outputs
