"""Calls a handler's `predict`: inputs of several requests together, in batches that it allows, and the outputs back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

from byo_container.container.handler import Conversation, RequestContext
from byo_container.serving.devices import inference_mode
from byo_container.serving.engine.sub_batches import Join, RequestInputs, split_by_cost
from byo_container.serving.models.handler.outputs import outputs_of
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.settings import Settings


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
        self._autocast = settings.autocast

    def context(self) -> AbstractContextManager[Any]:
        """What the handler's code runs in: PyTorch's inference mode, unless the handler declines it."""
        return inference_mode(self._autocast) if self._traits.inference_mode else nullcontext()

    def converse(self, message: str | bytes, conversation: Conversation) -> Any:
        """The handler's answer to one WebSocket message; None where it has no `converse`."""
        converse = self._traits.converse
        return converse(self._model, message, conversation) if converse else None

    def work(self, inputs: list[Any]) -> RequestInputs:
        """What is to be computed for a request, in sub-batches where it is larger than a batch. Raises what the
        handler's `cost` and `split` raise."""
        parts, join = self._split(inputs)
        costs = self._costs(parts)
        max_cost = max(costs, default=0.0) if self._traits.cost else 0.0
        work = RequestInputs(parts, max_cost, join)
        size = len(parts)
        if self._splits_requests and (
            size > self._policy.max_size or (size > 1 and size * max_cost > self._policy.max_cost)
        ):
            work.split(costs, self._policy)
        return work

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
        for numbers in split_by_cost(self._costs(inputs), self._policy):
            batch = [inputs[number] for number in numbers]
            predicted = self._predict(batch, [contexts[number] for number in numbers if contexts])
            for number, output in zip(numbers, predicted, strict=True):
                outputs[number] = output
        return outputs

    def _predict(self, inputs: list[Any], contexts: list[RequestContext]) -> list[Any]:
        returned = self._traits.predict(self._model, inputs, contexts)
        return outputs_of(returned, len(inputs), self._traits.name)

    def _costs(self, inputs: list[Any]) -> list[float]:
        cost = self._traits.cost
        return [cost(value) for value in inputs] if cost else [0.0] * len(inputs)

    def _split(self, inputs: list[Any]) -> tuple[list[Any], Join | None]:
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
