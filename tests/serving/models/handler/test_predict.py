"""How a handler's `predict` is called: batches within its limits, large inputs split and joined, outputs in order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.handler import Conversation, InputError, RequestContext
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.sub_batches import split_by_cost
from byo_container.serving.models.handler.predict import InputsWithContext, Predictor
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.settings import Settings


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 8), st.integers(1, 200))
def test_sub_batches_hold_every_input_once_and_keep_the_limits(costs: list[float], size: int, cost: int) -> None:
    batches = split_by_cost(costs, BatchPolicy(size, 0.0, cost))
    assert sorted(number for batch in batches for number in batch) == list(range(len(costs)))
    for batch in batches:
        assert len(batch) == 1 or (len(batch) <= size and len(batch) * max(costs[n] for n in batch) <= cost)


class Sized:
    batch_size = 3
    batch_cost = 30

    def cost(self, value: str) -> float:
        return len(value)

    def predict(self, model: list[Any], inputs: list[Any]) -> list[Any]:
        model.append(inputs)
        return [value.upper() for value in inputs]


def test_no_call_exceeds_the_limits_of_the_handler_and_outputs_stay_in_order() -> None:
    calls: list[list[str]] = []
    predictor = Predictor(HandlerTraits.of(Sized(), "sized:Sized"), calls, Settings())
    words = ["a" * n for n in (9, 1, 20, 2, 3, 15)]
    assert predictor.predict_requests([words[:4], words[4:]]) == [
        [word.upper() for word in words[:4]],
        [word.upper() for word in words[4:]],
    ]
    assert calls == [["a", "aa", "aaa"], ["a" * 9, "a" * 15], ["a" * 20]]


class ByName(Sized):
    """Answers each input with the header of the request that it came with."""

    def predict(self, model: Any, inputs: list[Any], requests: list[RequestContext]) -> list[Any]:  # type: ignore[override]
        return [value + request.header("X") for value, request in zip(inputs, requests, strict=True)]


def test_each_input_keeps_its_context_when_inputs_are_sorted_by_cost() -> None:
    predictor = Predictor(HandlerTraits.of(ByName(), "by:Name"), None, Settings())
    first = InputsWithContext(["aaaa", "a"], RequestContext(lambda header: "1"))
    second = InputsWithContext(["aa", "aaa"], RequestContext(lambda header: "2"))
    assert predictor.predict_requests([first, second]) == [["aaaa1", "a1"], ["aa2", "aaa2"]]


class Lists:
    """Doubles numbers; an input may be a list of them."""

    batch_size = 3

    def cost(self, value: Any) -> float:
        return float(value)

    def split(self, value: Any) -> list[Any] | None:
        return value if isinstance(value, list) and len(value) > 1 else None

    def join(self, value: Any, outputs: list[Any]) -> Any:
        return next((one for one in outputs if isinstance(one, InputError)), outputs)

    def predict(self, model: None, inputs: list[Any]) -> list[Any]:
        return [InputError("13") if value == 13 else value * 2 for value in inputs]


def outputs_of(inputs: list[Any]) -> tuple[list[Any], list[list[Any]]]:
    """The outputs for a request's inputs, and the inputs of each call."""
    predictor = Predictor(HandlerTraits.of(Lists(), "lists:Lists"), None, Settings())
    work = predictor.work(inputs)
    parts = work.sub_batches or [work]
    calls = [part.item for part in parts]
    assert all(part.size == len(part.item) and part.cost == max(part.item) for part in parts)
    outcomes = [predictor.predict_requests([part.item])[0] for part in parts]
    return work.outputs(outcomes if work.sub_batches else outcomes[0]), calls


def test_sub_batches_are_sorted_by_cost_over_the_whole_request_and_outputs_stay_in_order() -> None:
    assert outputs_of([5, 1, 4, 2, 3]) == ([10, 2, 8, 4, 6], [[1, 2, 3], [4, 5]])
    assert outputs_of([3, 1, 2]) == ([6, 2, 4], [[3, 1, 2]])  # one call may have these


def test_an_input_that_holds_several_is_split_and_joined() -> None:
    assert outputs_of([[5, 1, 4, 2], 7]) == ([[10, 2, 8, 4], 14], [[1, 2, 4], [5, 7]])
    found, _ = outputs_of([[1, 13, 2, 3], 4])
    assert isinstance(found[0], InputError)
    assert found[1] == 8


class Talkative(Lists):
    def converse(self, model: Any, message: str | bytes, conversation: Conversation) -> Any:
        return [model, message]


def test_a_message_is_answered_by_converse_with_the_model() -> None:
    traits = HandlerTraits.of(Talkative(), "talkative:Talkative")
    assert Predictor(traits, "a model", Settings()).converse("hi", Conversation(str)) == ["a model", "hi"]
