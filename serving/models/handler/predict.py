"""A handler's `predict`: called with batches as it likes them, its outputs given back to whom they belong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation, Handler, RequestContext
from byo_container.serving.devices import inference_mode
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.slices import Work
from byo_container.serving.engine.streaming import Around
from byo_container.serving.models.handler.outputs import outputs_of
from byo_container.serving.settings import Settings

# An input → the inputs that it holds; None where it is one by itself.
Split = Callable[[Any], list[Any] | None]
# An input and the outputs of those that it holds → its output.
Join = Callable[[Any, list[Any]], Any]


class Asked(list[Any]):
    """A request's inputs, with what else the handler wants to know of it."""

    def __init__(self, inputs: list[Any], invocation: RequestContext) -> None:
        super().__init__(inputs)
        self.invocation = invocation


class Predicting:
    """A handler with its model. In compute threads, but for `work`."""

    def __init__(self, handler: Handler, model: Any, name: str, settings: Settings) -> None:
        self._predict_fn = handler.predict
        self._converse = getattr(handler, "converse", None)
        self._model = model
        self.asks = "requests" in inspect.signature(handler.predict).parameters
        """Whether `predict` wants to know of the requests that its inputs came with."""
        self._name = name
        self._batching = batch_policy_of(handler, settings)
        # A handler that says nothing gets a request of many records in one piece, as large as it may be.
        self._in_pieces = bool(settings.batch_size or settings.batch_cost) or hasattr(handler, "batch_size")
        self._cost: Callable[[Any], float] | None = getattr(handler, "cost", None)
        self._split, self._join = splitting_of(handler)
        self.mode: Around = (
            partial(inference_mode, settings.autocast) if getattr(handler, "inference_mode", True) else nullcontext
        )

    @property
    def converses(self) -> bool:
        """Whether the handler answers a WebSocket's messages itself."""
        return self._converse is not None

    def answer(self, message: str | bytes, conversation: Conversation) -> Any:
        """What the handler answers to one message."""
        return self._converse(self._model, message, conversation) if self._converse else None

    def work(self, inputs: list[Any]) -> Work:
        """What is to be computed for a request, in slices where it is more than one call may have. In the event loop,
        or beside it where the request is large. Raises what `cost` and `split` raise."""
        parts, join = self._parts(inputs, self._split) if self._split else (inputs, None)
        if not self._in_pieces:
            return Work(parts, max(map(self._cost, parts), default=0.0) if self._cost else 0.0, join=join)
        costs = [self._cost(value) for value in parts] if self._cost else [0.0] * len(parts)
        dearest = max(costs, default=0.0)
        if len(parts) <= self._batching.max_size and (
            len(parts) < 2 or len(parts) * dearest <= self._batching.max_cost
        ):
            return Work(parts, dearest, join=join)
        return Work(parts, dearest, pieces(costs, self._batching), costs, join)

    def _parts(self, inputs: list[Any], split: Split) -> tuple[list[Any], Callable[[list[Any]], list[Any]] | None]:
        """The inputs, those that hold several split into these, and what puts the outputs together again."""
        found = [split(value) for value in inputs]
        if not any(found):
            return inputs, None

        def join(outputs: list[Any]) -> list[Any]:
            left = iter(outputs)
            return [
                self._join(value, [next(left) for _ in parts]) if parts else next(left)
                for value, parts in zip(inputs, found, strict=True)
            ]

        return list(chain.from_iterable(parts or [value] for value, parts in zip(inputs, found, strict=True))), join

    def of_requests(self, requests: list[Any]) -> list[list[Any]]:
        """The outputs for each request's inputs, predicted together."""
        asked = [inputs.invocation for inputs in requests for _ in inputs] if self.asks else []
        outputs = iter(self._of_inputs(list(chain.from_iterable(requests)), asked))
        return [[next(outputs) for _ in inputs] for inputs in requests]

    def _of_inputs(self, inputs: list[Any], asked: list[Any]) -> list[Any]:
        if not self._in_pieces:
            return self._predict(inputs, asked)
        costs = [self._cost(value) for value in inputs] if self._cost else [0.0] * len(inputs)
        outputs: list[Any] = [None] * len(inputs)
        for piece in pieces(costs, self._batching):
            predicted = self._predict(
                [inputs[number] for number in piece], [asked[number] for number in piece if asked]
            )
            for number, output in zip(piece, predicted, strict=True):
                outputs[number] = output
        return outputs

    def _predict(self, inputs: list[Any], asked: list[Any]) -> list[Any]:
        with self.mode():
            told = {"requests": asked} if self.asks else {}
            return outputs_of(self._predict_fn(self._model, inputs, **told), len(inputs), self._name)


def batch_policy_of(handler: object, settings: Settings) -> BatchPolicy:
    """How a handler wants its requests put together, and what the environment says instead. Raises JobError."""
    size = settings.batch_size or _told(handler, "batch_size", 1, BatchPolicy.max_size)
    delay = settings.batch_delay_ms if settings.batch_delay_ms is not None else _told(handler, "batch_delay_ms", 0, 0)
    cost = settings.batch_cost or _told(handler, "batch_cost", 0, BatchPolicy.max_cost)
    if cost < BatchPolicy.max_cost and not hasattr(handler, "cost"):
        raise JobError(f"{_name(handler)} has a limit of cost for its batches, and no method cost(input)")
    return BatchPolicy(int(size), delay / 1000, cost)


def splitting_of(handler: object) -> tuple[Split | None, Join]:
    """The methods of a handler whose inputs may hold several, such as a list of texts. Raises JobError."""
    split, join = getattr(handler, "split", None), getattr(handler, "join", None)
    if (split is None) != (join is None):
        raise JobError(f"{_name(handler)} has one of split(input) and join(input, outputs); it must have both or none")
    return split, join or (lambda value, outputs: outputs)


def _told(handler: object, name: str, low: float, default: float) -> float:
    value = getattr(handler, name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= low:
        raise JobError(f"{_name(handler)}.{name} is {value!r}; it must be a number, at least {low}")
    return value


def _name(handler: object) -> str:
    return f"{type(handler).__module__}:{type(handler).__qualname__}"


def pieces(costs: list[float], batching: BatchPolicy) -> list[list[int]]:
    """The numbers of the inputs for each call: cheapest first, no call with more than it may have."""
    found: list[list[int]] = []
    for number in sorted(range(len(costs)), key=costs.__getitem__):
        together = len(found[-1]) + 1 if found else 1
        if found and together <= batching.max_size and together * costs[number] <= batching.max_cost:
            found[-1].append(number)
        else:
            found.append([number])
    return found
