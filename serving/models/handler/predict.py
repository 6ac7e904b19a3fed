"""Calls a handler's `predict`: inputs of several requests together, in batches that it allows, and the outputs back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import Any

from byo_container.container.handler import Conversation, RequestContext
from byo_container.serving.devices import inference_mode
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.slices import Work
from byo_container.serving.engine.streaming import Around
from byo_container.serving.models.handler.outputs import outputs_of
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.settings import Settings

JoinOutputs = Callable[[list[Any]], list[Any]]
"""The outputs of a request's parts to the outputs of its inputs."""


class InputsWithContext(list[Any]):
    """The inputs of a request, for a handler that uses its context."""

    def __init__(self, inputs: list[Any], context: RequestContext) -> None:
        super().__init__(inputs)
        self.context = context


class Predictor:
    """A handler and its loaded model. `work` is called in the event loop or beside it, the rest in compute threads."""

    def __init__(self, traits: HandlerTraits, model: Any, settings: Settings) -> None:
        self._traits = traits
        self._model = model
        self._policy = traits.batch_policy(settings)
        self._splits_requests = traits.splits_requests(settings)
        self.mode: Around = partial(inference_mode, settings.autocast) if traits.inference_mode else nullcontext
        """The context manager around every call of the model."""

    def converse(self, message: str | bytes, conversation: Conversation) -> Any:
        """The handler's answer to one WebSocket message; None where it has no `converse`."""
        converse = self._traits.converse
        return converse(self._model, message, conversation) if converse else None

    def work(self, inputs: list[Any]) -> Work:
        """What is to be computed for a request, in slices where it is larger than a batch. Raises what the handler's
        `cost` and `split` raise."""
        parts, join = self._split(inputs)
        if not self._splits_requests:
            return Work(parts, max(self._costs(parts), default=0.0) if self._traits.cost else 0.0, join=join)
        costs = self._costs(parts)
        max_cost = max(costs, default=0.0)
        size = len(parts)
        if size <= self._policy.max_size and (size < 2 or size * max_cost <= self._policy.max_cost):
            return Work(parts, max_cost, join=join)
        return Work(parts, max_cost, sub_batches(costs, self._policy), costs, join)

    def predict_requests(self, requests: list[list[Any]]) -> list[list[Any]]:
        """The outputs of each request, whose inputs are predicted together. The requests are InputsWithContext where
        the handler uses contexts."""
        inputs = list(chain.from_iterable(requests))
        outputs = iter(self._predict_all(inputs, self._contexts(requests)))
        return [[next(outputs) for _ in inputs] for inputs in requests]

    def _contexts(self, requests: list[Any]) -> list[RequestContext]:
        """The context of each input; none where the handler does not use them."""
        return [inputs.context for inputs in requests for _ in inputs] if self._traits.takes_context else []

    def _predict_all(self, inputs: list[Any], contexts: list[RequestContext]) -> list[Any]:
        if not self._splits_requests:
            return self._predict(inputs, contexts)
        outputs: list[Any] = [None] * len(inputs)
        for numbers in sub_batches(self._costs(inputs), self._policy):
            batch = [inputs[number] for number in numbers]
            predicted = self._predict(batch, [contexts[number] for number in numbers if contexts])
            for number, output in zip(numbers, predicted, strict=True):
                outputs[number] = output
        return outputs

    def _predict(self, inputs: list[Any], contexts: list[RequestContext]) -> list[Any]:
        with self.mode():
            returned = self._traits.predict(self._model, inputs, contexts)
            return outputs_of(returned, len(inputs), self._traits.name)

    def _costs(self, inputs: list[Any]) -> list[float]:
        cost = self._traits.cost
        return [cost(value) for value in inputs] if cost else [0.0] * len(inputs)

    def _split(self, inputs: list[Any]) -> tuple[list[Any], JoinOutputs | None]:
        """The inputs, those that hold several split into these; and the function that joins the outputs again, where
        any was split."""
        split, join = self._traits.split, self._traits.join
        if not split or not join:
            return inputs, None
        parts_of = [split(value) for value in inputs]
        if not any(parts_of):
            return inputs, None

        def join_outputs(outputs: list[Any]) -> list[Any]:
            left = iter(outputs)
            return [
                join(value, [next(left) for _ in parts]) if parts else next(left)
                for value, parts in zip(inputs, parts_of, strict=True)
            ]

        return list(_flattened(inputs, parts_of)), join_outputs


def _flattened(inputs: list[Any], parts_of: list[list[Any] | None]) -> Iterator[Any]:
    for value, parts in zip(inputs, parts_of, strict=True):
        yield from parts or [value]


def sub_batches(costs: list[float], policy: BatchPolicy) -> list[list[int]]:
    """The indices of the inputs of each call, sorted by cost, within the limits of a batch. An input above the limit
    of cost is a call of its own."""
    batches: list[list[int]] = []
    for number in sorted(range(len(costs)), key=costs.__getitem__):
        size = len(batches[-1]) + 1 if batches else 1
        if batches and size <= policy.max_size and size * costs[number] <= policy.max_cost:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches
