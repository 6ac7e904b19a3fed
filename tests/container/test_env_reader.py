"""Settings from environment variables: read alike everywhere, every fault named with the variable and its value."""

from __future__ import annotations

import re

import pytest

from byo_container.container.env_reader import EnvReader
from byo_container.container.failure import JobError
from byo_container.container.process.stop import stop_grace_s


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 7), ("  ", 7), ("3", 3), (" 3 ", 3), ("007", 7), ("+5", 5), ("1_0", 10), ("3.0", 3), ("1", 1), ("10", 10)],
)
def test_whole_number(text: str, number: int) -> None:
    assert EnvReader({"WORKERS": text}).whole_number("WORKERS", 7, 1, 10) == number


@pytest.mark.parametrize("text", ["0", "11", "many", "2.5", "nan", "-1", "true", "9" * 5000])
def test_wrong_whole_number_is_refused(text: str) -> None:
    said = f"the environment variable WORKERS is {text!r}; it must be a whole number, at least 1 and at most 10"
    with pytest.raises(JobError, match=f"^{re.escape(said)}$"):
        EnvReader({"WORKERS": text}).whole_number("WORKERS", 7, 1, 10)


def test_default_need_not_be_a_number() -> None:
    assert EnvReader({}).whole_number("WORKERS", None, 1, 10) is None


def test_first_name_that_is_set_counts() -> None:
    environ = {"A": "", "B": "2", "C": "3"}
    assert EnvReader(environ).whole_number(["A", "B", "C"], 0, 1, 10) == 2
    with pytest.raises(JobError, match="variable B is 'x'"):
        EnvReader({**environ, "B": "x"}).whole_number(["A", "B", "C"], 0, 1, 10)


@pytest.mark.parametrize(("text", "number"), [("", 118.0), ("0", 0.0), ("0.5", 0.5), ("1e2", 100.0)])
def test_stop_grace(text: str, number: float) -> None:
    assert stop_grace_s({"TRAINING_STOP_TIMEOUT": text}) == number


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_wrong_stop_grace_is_refused(text: str) -> None:
    with pytest.raises(JobError, match=f"TRAINING_STOP_TIMEOUT is '{text}'; it must be a number, at least 0"):
        stop_grace_s({"TRAINING_STOP_TIMEOUT": text})


def test_choice_and_switch() -> None:
    read = EnvReader({"MODE": "Fast", "ON": "ON", "OFF": "0", "BAD": "yes"})
    assert (read.choice("MODE", ["slow", "fast"]), read.choice("NONE", ["slow", "fast"])) == ("fast", "slow")
    assert (read.switch("ON", False), read.switch("OFF", True), read.switch("NONE", True)) == (True, False, True)
    with pytest.raises(JobError, match="MODE is 'Fast'; it must be one of a, b"):
        read.choice("MODE", ["a", "b"])
    with pytest.raises(JobError, match="BAD is 'yes'; it must be true or false, or on or off"):
        read.switch("BAD", True)
