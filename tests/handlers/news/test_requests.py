"""What a request may hold. The model is a stand-in here, and counts how often it is called."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.handler import InputError
from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.requests import respond


class StandIn:
    """The category is the length of the headline, modulo 4."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, headlines: list[str]) -> list[list[float]]:
        self.calls += 1
        return [[0.7 if n == len(headline) % 4 else 0.1 for n in range(4)] for headline in headlines]


PROBABILITIES = {"Business": 0.1, "Science & Technology": 0.7, "Entertainment": 0.1, "Health & Medicine": 0.1}


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("a", {"result": NAMES[1]}),
        (["a"], {"result": [NAMES[1]]}),
        (["a", "bb"], {"result": [NAMES[1], NAMES[2]]}),
        ([], {"result": []}),
        (np.array(["a", "bb"]), {"result": [NAMES[1], NAMES[2]]}),
        (np.array("a"), {"result": NAMES[1]}),
        ({"input": "a"}, {"result": NAMES[1]}),
        ({"input": ["a"], "probabilities": False}, {"result": [NAMES[1]]}),
        ({"input": "a", "probabilities": True}, {"result": NAMES[1], "probabilities": PROBABILITIES}),
        ({"input": ["a"], "probabilities": True}, {"result": [NAMES[1]], "probabilities": [PROBABILITIES]}),
    ],
)
def test_valid_inputs(value: Any, output: Any) -> None:
    assert respond([value], StandIn()) == [output]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "the headline is empty"),
        (" \t", "the headline is empty"),
        ({"input": ""}, "the headline is empty"),
        (["a", ""], r"the headline \(item 1 of the list\) is empty"),
        (["a", 5], "item 1 of the list is the number 5; it should be a headline"),
        ({}, "should hold 'input'.*its keys: none"),
        ({"text": "a"}, "its keys: 'text'"),
        ({"input": "a", "probability": True}, "its keys: 'input', 'probability'"),
        ({"input": "a", "probabilities": 1}, "'probabilities' is the number 1; it must be true or false"),
        ({"input": {"input": "a"}}, "the input is an object; it should be a headline, a list"),
        (None, "the input is null"),
        (3.5, "the input is the number 3.5"),
        (True, "the input is true"),
        (np.arange(3), "item 0 of the list is the number 0"),
        (np.array(7), "the input is the number 7"),
        pytest.param(10**5000, "the input is the number", id="thousands of digits"),
    ],
)
def test_invalid_inputs_are_reported(value: Any, message: str) -> None:
    (output,) = respond([value], StandIn())
    assert isinstance(output, InputError)
    with pytest.raises(InputError, match=message):
        raise output


def test_invalid_input_fails_alone_and_the_model_is_called_once() -> None:
    model = StandIn()
    outputs = respond(["a", None, {"input": ["bb", "ccc"]}, ""], model)
    assert outputs[0] == {"result": NAMES[1]}
    assert outputs[2] == {"result": [NAMES[2], NAMES[3]]}
    assert isinstance(outputs[1], InputError)
    assert isinstance(outputs[3], InputError)
    assert model.calls == 1


def test_model_is_not_called_without_headlines() -> None:
    model = StandIn()
    respond([None, []], model)
    assert model.calls == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "probabilities", "x"]), inner, max_size=3)
    ),
)


@given(st.lists(json_values))
def test_any_json_gets_an_output_that_is_json_or_an_input_error(values: list[Any]) -> None:
    outputs = respond(values, StandIn())
    assert len(outputs) == len(values)
    for output in outputs:
        assert isinstance(output, InputError) or json.loads(json.dumps(output)) == output
    # Nothing depends on what else is in the batch.
    alone = [respond([value], StandIn())[0] for value in values]
    assert [str(output) for output in alone] == [str(output) for output in outputs]
