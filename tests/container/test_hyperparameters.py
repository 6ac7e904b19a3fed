"""Hyperparameters: the platform's texts become what a handler declares, or an error that helps."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import Aliases, Range, convert, decode, is_platforms, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(), items, max_size=4),
    max_leaves=8,
)


@dataclass(frozen=True)
class Declared:
    epochs: Annotated[int, Range(1, 1000)]
    learning_rate: Annotated[float, Range(0, above=True)] = 0.1
    architecture: Literal["mlp", "rnn"] = "mlp"
    units: list[int] = field(default_factory=list)


@given(JSON)
def test_json_of_the_sdk_round_trips(value: Any) -> None:
    assert decode(json.dumps(value)) == value
    assert convert(json.dumps(value), Any) == value


@given(st.text().filter(lambda text: text not in ("", "None")))
def test_text_in_json_round_trips_even_if_it_looks_like_a_number(text: str) -> None:
    for kind in (str, str | None, int | str):
        assert convert(json.dumps(text), kind) == text


@given(JSON.filter(lambda value: not isinstance(value, str)))
def test_raw_text_is_unchanged(value: Any) -> None:
    assert convert(json.dumps(value), str) == json.dumps(value)


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_numbers_and_booleans_in_every_encoding_of_the_sdk(whole: int, number: float, truth: bool) -> None:
    for encode in (str, json.dumps, lambda value: json.dumps(str(value)), lambda value: json.dumps(json.dumps(value))):
        assert convert(encode(whole), int) == whole
        assert convert(encode(number), float) == number
        assert convert(encode(truth), bool) is truth


@given(
    st.text() | JSON.map(json.dumps),
    st.sampled_from([int, bool, str, list[int], Literal["a", 1], int | None, dict, Annotated[float | None, Range(0)]]),
)
def test_any_text_is_converted_or_a_valueerror(text: str, kind: Any) -> None:
    with contextlib.suppress(ValueError):
        convert(text, kind)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", str, "3"),
        ('"3"', str, "3"),
        ("true", str, "true"),
        ("null", int | None, None),
        ("None", float | None, None),
        ("", float | None, None),
        ('"null"', int | None, None),
        ("7", int | None, 7),
        ("3.0", int, 3),
        ("1e3", int, 1000),
        ("True", bool, True),
        ("false", bool, False),
        ("1", bool, True),
        ("0", bool, False),
        ("rnn", Literal["mlp", "rnn"], "rnn"),
        ('"rnn"', Literal["mlp", "rnn"], "rnn"),
        ("3", Literal["3", "4"], "3"),
        ('"3"', Literal["3", "4"], "3"),
        ("2", Literal[1, 2], 2),
        ("[1, 2]", list[int], [1, 2]),
        ('["1", "a"]', list[str], ["1", "a"]),
        ('"[1, 2]"', list[int], [1, 2]),
        ('{"a": [1]}', dict, {"a": [1]}),
        ("null", Annotated[int | None, Range(1)], None),
        ("5", Annotated[int, Range(1, 5)], 5),
        ("auto", int | Literal["auto"], "auto"),
    ],
)
def test_conversion(text: str, kind: Any, value: Any) -> None:
    converted = convert(text, kind)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("3.5", int, "a whole number"),
        ("three", int, "a whole number"),
        ("1e999", int, "a whole number"),
        ("true", int, "a whole number"),
        ("9" * 400, float, "a number"),
        ("NaN", float, "a number"),
        ("nan", float, "a number"),
        ("-Infinity", float, "a number"),
        ("1e999", float, "a number"),
        ("[" * 2000, int, "a whole number"),
        ("yes", bool, "true or false"),
        ("2", bool, "true or false"),
        ("cnn", Literal["mlp", "rnn"], "one of mlp, rnn"),
        ("true", Literal[1, 2], "one of 1, 2"),
        ("3", list[int], "a JSON list, each item a whole number"),
        ('["a"]', list[int], "a JSON list, each item a whole number"),
        ("[]", dict, "a JSON object"),
        ("x", int | None, "a whole number or null"),
        ("6", Annotated[int, Range(1, 5)], "a whole number, at least 1 and at most 5"),
        ("0", Annotated[float, Range(0, above=True)], "a number, above 0"),
        ("2000000", Annotated[int, Range(high=1234567)], "a whole number, at most 1234567"),
    ],
)
def test_wrong_value_is_refused_with_the_expectation(text: str, kind: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        convert(text, kind)
    assert str(refused.value) == expected


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.booleans(), st.floats(allow_nan=False))
def test_range_contains_and_describes_numbers(low: float, high: float, above: bool, number: float) -> None:
    assert (number in Range(low, high, above)) == (low <= number <= high and not (above and number == low))
    assert math.nan not in Range(low, high, above)


def test_hyphens_are_underscores_and_defaults_fill_the_rest() -> None:
    assert parse(Declared, {"epochs": "2", "learning-rate": "0.5"}, "x.json") == Declared(2, 0.5)


@dataclass(frozen=True)
class Awkward:
    one_two_three: int


def test_hyphens_and_underscores_may_be_mixed() -> None:
    assert parse(Awkward, {"one-two_three": "4"}, "x.json") == Awkward(4)


@pytest.mark.parametrize("first", ["1", "wrong"])
def test_name_given_twice_is_refused(first: str) -> None:
    with pytest.raises(JobError, match="'one_two_three' is given twice, as 'one-two-three' and as 'one_two_three'"):
        parse(Awkward, {"one-two-three": first, "one_two_three": "2"}, "x.json")


def test_all_faults_are_listed_with_file_key_value_and_expectation() -> None:
    given = {"Learning-Rat": "1", "architecture": "cnn", "units": "[1, true]", "learning_rate": "0"}
    with pytest.raises(JobError) as refused:
        parse(Declared, given, "/opt/ml/input/config/hyperparameters.json")
    said = str(refused.value)
    assert said.startswith("/opt/ml/input/config/hyperparameters.json: ")
    for fault in (
        "unknown hyperparameter 'Learning-Rat'; did you mean 'learning_rate'? "
        "known are: architecture, epochs, learning_rate, units",
        "architecture = 'cnn' is not right: it must be one of mlp, rnn",
        "units = '[1, true]' is not right: it must be a JSON list, each item a whole number",
        "learning_rate = '0' is not right: it must be a number, above 0",
        "'epochs' is missing: it must be a whole number, at least 1 and at most 1000",
    ):
        assert fault in said


@pytest.mark.parametrize("name", ["sagemaker_program", "sagemaker_anything", "_tuning_objective_metric"])
def test_platform_hyperparameters_are_recognised(name: str) -> None:
    assert is_platforms(name)
    assert not is_platforms(name.replace("_", "-", 1))


@dataclass(frozen=True)
class WithAliases:
    rate: Annotated[float, Range(0, 1), Aliases("lr", "learning_rate")] = 0.1
    steps: Annotated[int, Aliases("max_steps")] | None = None
    WITHOUT_EFFECT: ClassVar[Mapping[str, str]] = {"n_gpus": "all are used"}


def test_aliases_stand_for_their_hyperparameter() -> None:
    assert parse(WithAliases, {"learning-rate": "0.5", "max_steps": "3"}, "f") == WithAliases(0.5, 3)
    with pytest.raises(JobError, match="'rate' is given twice, as 'lr' and as 'rate'"):
        parse(WithAliases, {"lr": "0.5", "rate": "0.5"}, "f")
    with pytest.raises(JobError, match="lr = '2' is not right: it must be a number, at least 0 and at most 1"):
        parse(WithAliases, {"lr": "2"}, "f")


def test_what_has_no_effect_is_accepted_by_its_name_alone() -> None:
    assert parse(WithAliases, {"n-gpus": "8"}, "f") == WithAliases()
    with pytest.raises(JobError, match=r"unknown hyperparameter 'n_cpus'; .*known are: rate, steps"):
        parse(WithAliases, {"n_cpus": "8"}, "f")
