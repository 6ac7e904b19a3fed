"""What a request may hold. The translator is a stand-in here, and counts how often it is called."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.handler import InputError
from byo_container.handlers.translation.requests import Hypothesis, Parameters, cost, join, respond, split

DEFAULTS = Parameters(beam=4)


class StandIn:
    """Shouts; the n-th best translation has n exclamation marks, and one text cannot be translated."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, Parameters]]] = []

    def __call__(self, wanted: list[tuple[str, Parameters]]) -> list[list[Hypothesis] | InputError]:
        self.calls.append(wanted)
        return [
            InputError("too long")
            if text == "long"
            else [Hypothesis(text.upper() + "!" * n, -float(n)) for n in range(parameters.nbest)]
            for text, parameters in wanted
        ]


def ask(*values: Any) -> list[Any]:
    return respond(values, StandIn(), DEFAULTS)


TWO = [{"text": "ÖL", "score": 0.0}, {"text": "ÖL!", "score": -1.0}]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("Öl", "ÖL"),
        ("", ""),
        (["Öl", "b"], ["ÖL", "B"]),
        ([], []),
        (np.array(["Öl"]), ["ÖL"]),
        (np.array("Öl"), "ÖL"),
        ({"inputs": "Öl"}, "ÖL"),
        ({"inputs": ["Öl"], "parameters": {}}, ["ÖL"]),
        ({"inputs": ["Öl"], "parameters": None}, ["ÖL"]),
        ({"inputs": "Öl", "parameters": {"beam": 2, "lenpen": 0.5}}, "ÖL"),
        ({"inputs": "Öl", "parameters": {"nbest": 2}}, TWO),
        ({"inputs": ["Öl"], "parameters": {"nbest": 2}}, [TWO]),
        ({"inputs": "Öl", "parameters": {"nbest": 1}}, TWO[:1]),
    ],
)
def test_valid_inputs(value: Any, output: Any) -> None:
    assert ask(value) == [output]


def test_parameters_override_the_models_defaults() -> None:
    search = StandIn()
    given_ = {"beam": 7, "nbest": 2, "lenpen": 0.5, "max-len-a": 1, "max_len_b": "9", "replace_unk": True}
    respond([{"inputs": "a", "parameters": given_}, "b"], search, DEFAULTS)
    assert search.calls == [[("a", Parameters(7, 2, 0.5, 1.0, 9, True)), ("b", DEFAULTS)]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"the input is null; it should be a text, a list of texts, or \{"),
        (3.5, "the input is 3.5"),
        (True, "the input is true"),
        (["a", 5], "item 1 of the list is 5; it should be a text"),
        (["a", ["b"]], "item 1 of the list is a list"),
        (
            {"inputs": "a", "beam": 3},
            r"unknown key 'beam'; put it into 'parameters': \{\"inputs\": …, \"parameters\": \{\"beam\": …\}\}$",
        ),
        ({"inputs": "a", "max-len-b": 3}, "unknown key 'max-len-b'; put it into 'parameters'"),
        ({"input": "a"}, "unknown key 'input'; did you mean 'inputs'"),
        ({}, "the object has no 'inputs'"),
        ({"inputs": {"inputs": "a"}}, "the input is an object"),
        ({"inputs": "a", "parameters": [5]}, "'parameters' is a list; it should be an object"),
        ({"inputs": "a", "parameters": []}, "'parameters' is a list; it should be an object"),
        ({"inputs": "a", "parameters": False}, "'parameters' is false; it should be an object"),
        ({"inputs": "a", "parameters": {"beem": 5}}, "unknown parameter 'beem'; did you mean 'beam'"),
        (
            {"inputs": "a", "parameters": {"beam": 0}},
            "'beam' is 0; it must be a whole number, at least 1 and at most 50",
        ),
        ({"inputs": "a", "parameters": {"beam": 2.5}}, "'beam' is 2.5; it must be a whole number"),
        ({"inputs": "a", "parameters": {"beam": True}}, "'beam' is true; it must be"),
        ({"inputs": "a", "parameters": {"lenpen": "x"}}, "'lenpen' is \"x\"; it must be a number"),
        ({"inputs": "a", "parameters": {"max_len_b": 0}}, "'max_len_b' is 0"),
        ({"inputs": "a", "parameters": {"nbest": 5}}, "'nbest' is 5, and a search with 'beam' 4 finds no more"),
        ("long", "^too long"),
        (["a", "long"], "item 1 of the list: too long"),
        pytest.param(10**5000, "the input is a number", id="thousands of digits"),
    ],
)
def test_invalid_inputs_are_reported(value: Any, message: str) -> None:
    (output,) = ask(value)
    assert isinstance(output, InputError)
    with pytest.raises(InputError, match=message):
        raise output


def test_invalid_input_fails_alone_and_others_share_one_search() -> None:
    search = StandIn()
    outputs = respond(["a", None, ["b", "c"], "long", {"inputs": "d", "parameters": {"beem": 1}}], search, DEFAULTS)
    assert outputs[0] == "A"
    assert outputs[2] == ["B", "C"]
    assert [type(outputs[place]) for place in (1, 3, 4)] == [InputError] * 3
    assert [[text for text, _ in call] for call in search.calls] == [["a", "b", "c", "long"]]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "parameters", "beam", "nbest", "x"]), inner, max_size=3)
    ),
)


@given(st.lists(json_values))
def test_any_json_gets_an_output_that_is_json_or_an_input_error(values: list[Any]) -> None:
    outputs = respond(values, StandIn(), replace(DEFAULTS, nbest=1))
    assert len(outputs) == len(values)
    for output in outputs:
        assert isinstance(output, InputError) or json.loads(json.dumps(output)) == output


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (["a", "b\nc"], ["a", "b", "c"]),
        ("a\r\n\nb\n", ["a", "", "b", ""]),
        (np.array(["a", "b"]), ["a", "b"]),
        (
            {"inputs": ["a", "b"], "parameters": {"beam": 2}},
            [{"inputs": "a", "parameters": {"beam": 2}}, {"inputs": "b", "parameters": {"beam": 2}}],
        ),
        ("a", None),
        (["a"], None),
        ([], None),
        (["a", 5], None),  # these are for `respond` to refuse
        ({"inputs": ["a", "b"], "parameters": {"beam": 99}}, None),
        ({"inputs": ["a", "b"], "parameters": {"nbest": 2}}, None),
        (None, None),
    ],
)
def test_input_of_several_lines_is_split_into_inputs(value: Any, parts: list[Any] | None) -> None:
    assert split(value) == parts


@given(st.lists(st.lists(st.sampled_from(["a", "b", ""]), min_size=1).map("\n".join)), st.booleans(), st.booleans())
def test_split_and_join_equal_the_whole_input(texts: list[str], as_list: bool, as_object: bool) -> None:
    value: Any = texts if as_list else "\n".join(texts)
    value = {"inputs": value, "parameters": {"beam": 3}} if as_object else value
    parts = split(value)
    assert parts is None or [join(value, ask(*parts))] == ask(value)


def test_failed_line_of_a_split_input_is_named() -> None:
    for value in (["a", "long", "b"], "a\nlong"):
        error = join(value, ask(*(split(value) or ())))
        assert isinstance(error, InputError)
        assert str(error) == ("item 1 of the list: too long" if isinstance(value, list) else "too long")


def test_cost_of_an_input() -> None:
    assert cost("four") == cost({"inputs": "four"}) == cost({"inputs": "four", "parameters": {"beam": 5}}) == 4
    assert cost({"inputs": "four", "parameters": {"beam": 10}}) == 8
    assert cost(["four", "five!"]) == 9
    assert cost(None) == cost({"inputs": 5}) == cost({}) == 0
