"""A request's inputs for the engine: for one call, or in slices where they are more than one call may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serving.waiting import Slice, Slices


def _as_they_are(inputs: list[Any]) -> Any:
    return inputs


@dataclass(frozen=True)
class Work:
    """What `predict` is to compute for one request."""

    inputs: list[Any]
    cost: float = 0.0
    """Of the dearest input."""
    slices: list[list[int]] = field(default_factory=list)
    """The numbers of the inputs in each; none where one call may have all inputs."""
    costs: list[float] = field(default_factory=list)
    """Of each input, where there are slices."""
    join: Callable[[list[Any]], list[Any]] | None = None
    """Makes the request's outputs of these, where the handler has split its inputs."""

    def outputs(self, submit: Callable[..., Any], item: Callable[[list[Any]], Any] = _as_they_are) -> list[Any]:
        """One output for each of the request's inputs, by Engine.submit; `item` makes an item for it of some inputs.
        Raises what the model raises."""
        outputs = self._in_slices(submit, item) if self.slices else self._at_once(submit, item)
        return self.join(outputs) if self.join else outputs

    def _at_once(self, submit: Callable[..., Any], item: Callable[[list[Any]], Any]) -> list[Any]:
        outputs: list[Any] = submit(item(self.inputs), len(self.inputs), self.cost)
        return outputs

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
