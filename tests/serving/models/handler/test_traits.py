"""What a handler declares: by a plain class, or by one that derives from Handler."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation, Handler, RequestContext, overridden
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.settings import Settings


class Plain:
    """The least that can be served."""

    def load(self, model_dir: Path) -> None:
        return None

    def predict(self, model: Any, inputs: list[Any]) -> list[Any]:
        return inputs


class Derived(Handler):
    """The same, from the base class."""

    def load(self, model_dir: Path) -> None:
        return None

    def predict(self, model: Any, inputs: list[Any]) -> list[Any]:
        return inputs


class Sized(Plain):
    batch_size = 3
    batch_delay_ms = 20
    batch_cost = 30

    def cost(self, value: str) -> float:
        return len(value)


def traits_of(handler: Any) -> HandlerTraits:
    return HandlerTraits.of(handler, "shout:Shout")


@pytest.mark.parametrize("handler", [Plain(), Derived()])
def test_a_handler_that_declares_nothing_has_the_defaults_of_the_base_class(handler: Any) -> None:
    traits = traits_of(handler)
    assert (traits.batched, traits.csv_squeeze, traits.inference_mode) == (False, False, True)
    assert (traits.cost, traits.split, traits.join, traits.converse) == (None, None, None, None)
    assert traits.execution_parameters == {}
    assert not traits.takes_context
    assert traits.predict(None, [1, 2], []) == [1, 2]
    assert traits.batch_policy(Settings()) == BatchPolicy(32, 0.0, math.inf)
    assert not traits.splits_requests(Settings())


class Everything(Handler):
    batched = True
    csv_squeeze = True
    batch_size = 4
    batch_delay_ms = 5
    batch_cost = 100
    inference_mode = False
    execution_parameters = {"MaxPayloadInMB": 6}  # noqa: RUF012

    def load(self, model_dir: Path) -> str:
        return "model"

    def predict_with_context(self, model: str, inputs: list[Any], contexts: list[RequestContext]) -> list[Any]:
        return [context.header(value) for value, context in zip(inputs, contexts, strict=True)]

    def converse(self, model: str, message: str | bytes, conversation: Conversation) -> str:
        return f"{model} {message!r}"

    def cost(self, input: Any) -> float:  # noqa: A002
        return len(input)

    def split(self, input: Any) -> list[Any] | None:  # noqa: A002
        return input if isinstance(input, list) else None

    def join(self, input: Any, outputs: list[Any]) -> Any:  # noqa: A002
        return outputs


def test_a_handler_that_overrides_everything() -> None:
    handler = Everything()
    traits = traits_of(handler)
    assert (traits.batched, traits.csv_squeeze, traits.inference_mode) == (True, True, False)
    assert traits.execution_parameters == {"MaxPayloadInMB": 6}
    assert traits.takes_context
    assert traits.predict(None, ["X"], [RequestContext(str.lower)]) == ["x"]
    assert traits.converse is not None
    assert traits.converse("model", "hi", Conversation(str)) == "model 'hi'"
    assert (traits.cost, traits.split, traits.join) == (handler.cost, handler.split, handler.join)
    assert traits.batch_policy(Settings()) == BatchPolicy(4, 0.005, 100)
    assert traits.splits_requests(Settings())


def test_a_plain_class_gets_the_contexts_by_a_parameter_called_requests() -> None:
    class WithRequests(Plain):
        def predict(self, model: Any, inputs: list[Any], requests: list[RequestContext]) -> list[Any]:  # type: ignore[override]
            return [request.header(value) for value, request in zip(inputs, requests, strict=True)]

    traits = traits_of(WithRequests())
    assert traits.takes_context
    assert traits.predict(None, ["X"], [RequestContext(str.lower)]) == ["x"]


def test_the_base_class_names_the_missing_method() -> None:
    with pytest.raises(NotImplementedError, match=r"Derived has no method train\(job\)"):
        Derived().train(None)  # type: ignore[arg-type]
    assert overridden(Derived, "train") is None
    assert overridden(Derived(), "predict") is not None
    assert overridden(Plain, "train") is None


def test_the_environment_takes_precedence_over_the_handler() -> None:
    traits = traits_of(Sized())
    assert traits.batch_policy(Settings()) == BatchPolicy(3, 0.02, 30)
    assert traits.batch_policy(Settings(batch_size=8, batch_delay_ms=0, batch_cost=99)) == BatchPolicy(8, 0.0, 99)
    assert traits_of(Plain()).splits_requests(Settings(batch_size=8))


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 0), ("batch_size", "4"), ("batch_delay_ms", -1), ("batch_cost", None)]
)
def test_a_wrong_number_is_named(name: str, value: object) -> None:
    with pytest.raises(JobError, match=f"Shout.{name} is"):
        traits_of(type("Odd", (Sized,), {name: value})())


@pytest.mark.parametrize(("name", "meaning"), [("batched", "a list in JSON"), ("csv_squeeze", "one cell")])
def test_a_flag_is_true_or_false(name: str, meaning: str) -> None:
    handler = type("Odd", (Plain,), {name: "instances"})()
    with pytest.raises(
        JobError, match=rf"shout:Shout.{name} is 'instances'; it must be True \(.*{meaning}.*\) or False"
    ):
        traits_of(handler)


def test_a_limit_of_cost_needs_a_cost() -> None:
    with pytest.raises(JobError, match="no method cost"):
        traits_of(Plain()).batch_policy(Settings(batch_cost=5))


def test_split_and_join_go_together() -> None:
    with pytest.raises(JobError, match=r"shout:Shout has one of split\(input\) and join"):
        traits_of(type("Half", (Plain,), {"split": Everything.split})())
