"""The failure file: its first 1,024 characters say what was wrong and where."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.failure import (
    REASON_LENGTH,
    JobError,
    JobStopped,
    describe,
    describe_child,
    ends_in_traceback,
    explain_status,
    report,
    write_failure,
)


def caught(function: object, *arguments: object) -> BaseException:
    try:
        function(*arguments)  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise ValueError("the bottom")


def test_a_joberror_is_told_as_it_is() -> None:
    assert describe(JobError("x.json: epochs is wrong")) == "x.json: epochs is wrong"


def test_an_exception_is_told_with_its_place_in_the_users_code_not_in_a_librarys() -> None:
    reason = describe(caught(json.loads, "{"))[:REASON_LENGTH]
    first, second = reason.splitlines()[:2]
    assert first.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert second.startswith(f"  in {__file__}, line ")


def test_the_reason_holds_the_tail_of_a_long_traceback_and_the_file_all_of_it() -> None:
    text = describe(caught(deep, 200))
    assert text.startswith(f"ValueError: the bottom\n  in {__file__}, line ")
    assert text[:REASON_LENGTH].rstrip().endswith("ValueError: the bottom")
    assert text.count("deep(levels - 1)") > 2


def test_a_long_message_leaves_room_for_the_place() -> None:
    def fail() -> None:
        raise ValueError("x" * 100_000 + " end")

    text = describe(caught(fail))[:REASON_LENGTH]
    assert text.startswith("ValueError: xxx")
    assert f"  in {__file__}, line " in text
    assert text.endswith("x end")

    text = describe_child("train.py", *run_python("raise ValueError('x' * 50_000)"))[:REASON_LENGTH]
    assert 'x...\n  in File "<string>", line 1, in <module>\ntrain.py ended with status 1\n' in text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so(number: int) -> None:
    text = describe(OSError(number, "No space left on device", "/opt/ml/model/x"))
    assert text.startswith("the disk is full: OSError: ")
    assert "/opt/ml/model/x" in text


@pytest.mark.parametrize(
    ("error", "status"),
    [(JobError("x"), 1), (OSError("no errno"), 1), (OSError(0, "zero"), 1), (ValueError(), 1), (JobStopped(), 143)],
)
def test_no_exception_ends_with_status_0(tmp_path: Path, error: BaseException, status: int) -> None:
    assert report(tmp_path / "output/failure", error) == status
    assert (tmp_path / "output/failure").read_text().strip()


@given(st.text(), st.integers(1, 255), st.text())
def test_a_childs_end_is_always_told(name: str, status: int, output: str) -> None:
    text = describe_child(name, status, output)
    assert explain_status(status) in text[:REASON_LENGTH] or len(name) > 400


def run_python(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.returncode if done.returncode >= 0 else 128 - done.returncode), done.stderr


def test_a_childs_chained_exception_is_told_by_its_last_link_and_its_users_frame() -> None:
    code = "import json\ntry:\n    1/0\nexcept ZeroDivisionError:\n    json.loads('{')\n"
    text = describe_child("train.py", *run_python(code))
    assert text.startswith(
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
        '  in File "<string>", line 5, in <module>\ntrain.py ended with status 1\n'
    )


def test_a_message_of_several_lines_is_kept() -> None:
    text = describe_child("train.py", *run_python("raise ValueError('one\\ntwo')"))
    assert text.startswith("ValueError: one\ntwo\n  in File")


@pytest.mark.parametrize(
    ("after", "ends"),
    [("", True), ("terminate called without an active exception\n", True), ("step\n" * 9, False)],
)
def test_whether_an_exception_was_the_last_word(after: str, ends: bool) -> None:
    _, output = run_python("raise ValueError('torn')")
    assert ends_in_traceback(output + after) == ends
    assert not ends_in_traceback(after)


def test_the_mark_that_pytorch_puts_before_every_line_is_taken_off() -> None:
    status, output = run_python("raise ValueError('torn')")
    marked = "".join(f"[rank3]: {line}\n" for line in output.splitlines())
    assert describe_child("train.py", status, marked) == describe_child("train.py", status, output)


def test_a_child_that_a_signal_killed_did_not_die_of_a_traceback_it_printed_before() -> None:
    code = "import os, traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()\nos.kill(os.getpid(), 9)"
    text = describe_child("train.py", *run_python(code))
    assert text.startswith("train.py was killed by SIGKILL (often: out of memory)")
    assert "ZeroDivisionError" in text


def test_a_child_without_a_traceback_is_told_by_its_last_line_of_error() -> None:
    output = "ERROR: first\nERROR: No matching distribution found for nothing\nnotice: a new pip\n"
    text = describe_child("pip install", 1, output)
    assert text.startswith("pip install ended with status 1: ERROR: No matching distribution found for nothing")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (3, "ended with status 3"),
        (128 + signal.SIGKILL, "was killed by SIGKILL (often: out of memory)"),
        (128 + signal.SIGSEGV, "was killed by SIGSEGV (a crash in native code)"),
        (128 + signal.SIGTERM, "was killed by SIGTERM"),
        (255, "ended with status 255"),
        (128, "ended with status 128"),
    ],
)
def test_what_a_status_means(status: int, said: str) -> None:
    assert explain_status(status) == said


def test_what_cannot_be_encoded_is_written_all_the_same(tmp_path: Path) -> None:
    write_failure(tmp_path / "failure", "half a surrogate \ud800")
    assert (tmp_path / "failure").read_text() == "half a surrogate \\ud800\n"


def test_a_failure_file_that_cannot_be_written_does_no_further_harm(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file, where a folder should be")
    assert report(tmp_path / "output/failure", ValueError("x")) == 1
