"""What a handler class declares of itself, read and checked in one place. Everything else uses HandlerTraits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from byo_container.container.class_check import signature_of
from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation, Handler, RequestContext, overridden
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.models import execution_parameters
from byo_container.serving.settings import Settings

MEANINGS = {
    "batched": "a list in JSON and the rows of an npy are inputs",
    "csv_squeeze": "a row of CSV that has one cell is a text",
}

Cost = Callable[[Any], float]
Split = Callable[[Any], list[Any] | None]
"""An input to the inputs that it holds; None where it is a single one."""
Join = Callable[[Any, list[Any]], Any]
"""An input and the outputs of its parts to its output."""
Predict = Callable[[Any, list[Any], list[RequestContext]], Any]
"""Model, inputs and, where HandlerTraits.takes_context, the context of each input to the outputs."""
Converse = Callable[[Any, str | bytes, Conversation], Any]


@dataclass(frozen=True)
class HandlerTraits:
    """A handler's declarations, whether its class derives from Handler or not. A field is None where the handler does
    not declare it."""

    name: str
    predict: Predict
    takes_context: bool
    """Whether `predict` uses the contexts of its inputs; without, the list may be empty."""
    converse: Converse | None
    cost: Cost | None
    split: Split | None
    join: Join | None
    batched: bool
    csv_squeeze: bool
    batch_size: int | None
    batch_delay_ms: float
    batch_cost: float
    inference_mode: bool
    execution_parameters: Mapping[str, Any]

    @classmethod
    def of(cls, handler: Handler | Any, name: str) -> HandlerTraits:
        """The declarations of a handler, called `name` in errors. Raises JobError for what cannot be right."""
        split, join = overridden(handler, "split"), overridden(handler, "join")
        if (split is None) != (join is None):
            raise JobError(f"{name} has one of split(input) and join(input, outputs); it must have both or none")
        predict, takes_context = _predict_of(handler)
        declares_size = getattr(handler, "batch_size", None) is not None
        return cls(
            name=name,
            predict=predict,
            takes_context=takes_context,
            converse=overridden(handler, "converse"),
            cost=overridden(handler, "cost"),
            split=split,
            join=join,
            batched=_flag(handler, name, "batched"),
            csv_squeeze=_flag(handler, name, "csv_squeeze"),
            batch_size=int(_number(handler, name, "batch_size", 1)) if declares_size else None,
            batch_delay_ms=_number(handler, name, "batch_delay_ms", 0),
            batch_cost=_number(handler, name, "batch_cost", 0),
            inference_mode=bool(getattr(handler, "inference_mode", Handler.inference_mode)),
            execution_parameters=execution_parameters.checked(
                getattr(handler, "execution_parameters", Handler.execution_parameters), name
            ),
        )

    def batch_policy(self, settings: Settings) -> BatchPolicy:
        """How requests are put together: by the environment, else by the handler. Raises JobError."""
        delay_ms = self.batch_delay_ms if settings.batch_delay_ms is None else settings.batch_delay_ms
        cost = settings.batch_cost or self.batch_cost
        if cost < BatchPolicy.max_cost and self.cost is None:
            raise JobError(f"{self.name} has a limit of cost for its batches, and no method cost(input)")
        return BatchPolicy(settings.batch_size or self.batch_size or BatchPolicy.max_size, delay_ms / 1000, cost)

    def splits_requests(self, settings: Settings) -> bool:
        """Whether a request that is larger than a batch is split into several calls."""
        return bool(settings.batch_size or settings.batch_cost or self.batch_size)


def _predict_of(handler: Any) -> tuple[Predict, bool]:
    """The method that predicts, and whether it uses contexts."""
    if with_context := overridden(handler, "predict_with_context"):
        return with_context, True
    plain = handler.predict

    def with_requests(model: Any, inputs: list[Any], contexts: list[RequestContext]) -> Any:
        return plain(model, inputs, requests=contexts)

    def without(model: Any, inputs: list[Any], contexts: list[RequestContext]) -> Any:
        return plain(model, inputs)

    signature = signature_of(plain)
    takes_requests = signature is not None and "requests" in signature.parameters
    return (with_requests, True) if takes_requests else (without, False)


def _flag(handler: object, name: str, attribute: str) -> bool:
    value = getattr(handler, attribute, False)
    if not isinstance(value, bool):
        raise JobError(f"{name}.{attribute} is {value!r}; it must be True ({MEANINGS[attribute]}) or False")
    return value


def _number(handler: object, name: str, attribute: str, low: float) -> float:
    """A numeric attribute, or the default of Handler."""
    value = getattr(handler, attribute, getattr(Handler, attribute))
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= low:
        raise JobError(f"{name}.{attribute} is {value!r}; it must be a number, at least {low}")
    return value
