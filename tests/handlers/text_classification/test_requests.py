"""Inputs and their outputs, without a model."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.container.handler import InputError
from byo_container.handlers.text_classification import requests
from byo_container.handlers.text_classification.requests import Parameters, Text

A, B, C = ({"label": name, "score": score} for name, score in (("a", 0.2), ("b", 0.7), ("c", 0.1)))


def classify(texts: list[Text]) -> list[Any]:
    return [
        InputError("too long") if "long" in text.text else [(one["label"], one["score"]) for one in (A, B, C)]
        for text in texts
    ]


def answer(value: Any) -> Any:
    """By way of `split` and `join`, as the server does it."""
    parts = requests.split(value)
    return requests.respond([value], classify)[0] if parts is None else requests.join(value, _respond(parts))


def _respond(parts: list[Any]) -> list[Any]:
    return requests.respond(parts, classify)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", B),
        ({"text": "x", "text_pair": "y"}, B),
        ({"inputs": "x"}, [B]),
        ({"inputs": "x", "parameters": {}}, [B]),
        ({"inputs": "x", "parameters": None}, [B]),
        ({"inputs": "x", "parameters": {"top_k": 1}}, [B]),
        ({"inputs": "x", "parameters": {"top_k": 2}}, [B, A]),
        ({"inputs": "x", "parameters": {"top_k": None}}, [B, A, C]),
        ({"inputs": "x", "parameters": {"top_k": 10**30}}, [B, A, C]),
        ({"inputs": "x", "parameters": {"return_all_scores": True}}, [[A, B, C]]),
        ({"inputs": "x", "parameters": {"return_all_scores": False}}, [B]),
        ({"inputs": "x", "parameters": {"function_to_apply": "SoftMax", "padding": "max_length"}}, [B]),
        ({"inputs": "x", "options": {"wait_for_model": True}}, [B]),
        ({"inputs": ["x", "y"], "parameters": {"batch_size": 2, "num_workers": 0}}, [B, B]),
        ({"inputs": {"text": "x", "text_pair": "y"}}, B),
        ({"inputs": {"text": "x"}, "parameters": {"top_k": 2}}, [B, A]),
        ({"inputs": []}, []),
        ({"inputs": ["x"]}, [B]),
        ({"inputs": ["x", {"text": "y"}]}, [B, B]),
        ({"inputs": ["x", "y"], "parameters": {"top_k": 1}}, [[B], [B]]),
        ({"inputs": ["x", "y"], "parameters": {"return_all_scores": True}}, [[A, B, C], [A, B, C]]),
    ],
)
def test_outputs_have_the_shapes_of_the_pipeline(value: Any, expected: Any) -> None:
    assert answer(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "the input is 7; it should be a text, or"),
        (None, "the input is null"),
        (["x"], "quote a text with commas"),
        ("inputs", "a header line"),
        ("", "the text is empty"),
        ({"inputs": " \t\n"}, "the text is empty"),
        ({"inputs": ["x", ""]}, "item 1 of the list: the text is empty"),
        ({"inputs": ["x", 7]}, "item 1 of the list: 7 is no text"),
        ({"inputs": [["x", "y"]]}, 'item 0 of the list: a list is no text; a pair of texts is {"text"'),
        ({"inputs": ["x", "long"]}, "item 1 of the list: too long"),
        ({"inputs": "long"}, "too long"),
        ({"inputs": {"text": "x", "text_par": "y"}}, "did you mean 'text_pair'"),
        ({"inputs": {"text_pair": "y"}}, "'text' is null; it should be a text"),
        ({"inputs": {"text": "x", "text_pair": 5}}, "'text_pair' is 5"),
        ({"input": "x"}, "did you mean 'inputs'"),
        ({}, "has no 'inputs'"),
        ({"inputs": "x", "top_k": 3}, 'put it into "parameters"'),
        ({"inputs": "x", "parameters": [3]}, "'parameters' is a list; it should be an object"),
        ({"inputs": "x", "parameters": {"topk": 3}}, "unknown parameter 'topk'; did you mean 'top_k'"),
        ({"inputs": ["x"] * 3, "parameters": {"topk": 3}}, "did you mean 'top_k'"),
        *(
            ({"inputs": "x", "parameters": {"top_k": wrong}}, "it must be a whole number, at least 1")
            for wrong in (0, -1, True, "3", 2.0, -(10**5000), [1])
        ),
        ({"inputs": "x", "parameters": {"max_length": 0}}, "'max_length' is 0"),
        ({"inputs": "x", "parameters": {"function_to_apply": "relu"}}, "softmax"),
        ({"inputs": "x", "parameters": {"truncation": "yes"}}, "longest_first"),
    ],
)
def test_what_is_wrong_with_an_input(value: Any, message: str) -> None:
    found = answer(value)
    assert isinstance(found, InputError)
    assert message in str(found)


def test_a_wrong_input_costs_the_others_nothing_and_all_texts_are_classified_at_once() -> None:
    calls: list[int] = []

    def counting(texts: list[Text]) -> list[Any]:
        calls.append(len(texts))
        return classify(texts)

    wrong, text, several = requests.respond([7, "x", {"inputs": ["x", "y"]}], counting)
    assert isinstance(wrong, InputError)
    assert (text, several) == (B, [B, B])
    assert calls == [3]


def test_half_surrogate_pairs_can_be_encoded() -> None:
    (text,) = requests.split({"inputs": ["x \ud800 \ud83d\ude00", "y"]})[:1]  # type: ignore[index]
    assert text.text == "x \ufffd \U0001f600"


def test_parts_share_the_parameters_of_their_request() -> None:
    first, second = requests.split({"inputs": ["x", "y"], "parameters": {"truncation": False}}) or (None, None)
    assert isinstance(first, Text)
    assert isinstance(second, Text)
    assert first.parameters == Parameters(truncation=False)
    assert first.parameters is second.parameters
    assert requests.split({"inputs": ["x"]}) is None
    assert requests.split({"inputs": "x"}) is None


def test_cost_is_the_characters_that_are_read() -> None:
    assert requests.cost("four") == 4
    assert requests.cost({"inputs": "four"}) == 4
    assert requests.cost({"inputs": {"text": "four"}}) == 4
    assert [requests.cost(part) for part in requests.split({"inputs": ["four", {"text": "a", "text_pair": "b"}]}) or ()]
    assert requests.cost("x" * 100_000) == requests.LONGEST_COST
    assert requests.cost({"inputs": 7}) == requests.cost(None) == requests.cost({}) == 0
