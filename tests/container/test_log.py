"""The log: a line for an event, as text or as JSON."""

from __future__ import annotations

import json
import logging

import pytest

from byo_container.container import log


@pytest.mark.parametrize("form", ["text", "json"])
def test_traceback_is_logged_on_one_line(capsys: pytest.CaptureFixture[str], form: str) -> None:
    log.configure({"LOG_FORMAT": form})
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.log.exception("it failed", extra={"request_id": "r1"})
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: two" in line
    if form == "json":
        fields = json.loads(line)
        assert (fields["level"], fields["message"], fields["request_id"]) == ("ERROR", "it failed", "r1")


@pytest.mark.parametrize(
    ("level", "number"), [("10", 10), (30, 30), ("warning", 30), (" Debug ", 10), ("", 20), ("x", 20), ("²", 20)]
)
def test_log_levels_by_number_and_name(level: str | int, number: int) -> None:
    log.configure({})
    log.set_level(level)
    assert log.log.level == number
    log.set_level(logging.INFO)


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure({})
    log.log.warning("a\r\x1b[2Jb\u0085c\u2028d\u2029e\x00f\ud800g\ttab é \u4f60")
    err = capsys.readouterr().err
    assert err.splitlines() == [err.rstrip("\n")]
    assert err.rstrip("\n").endswith(r"a\r\x1b[2Jb\x85c\u2028d\u2029e\x00f\ud800g" + "\ttab é \u4f60")
