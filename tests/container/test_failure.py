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

from byo_container.container.failure import (
    REASON_LENGTH,
    JobError,
    JobStopped,
    OutputTail,
    describe,
    describe_child,
    ends_in_traceback,
    explain_status,
    is_secondary,
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


def test_report_of_a_joberror_is_its_message() -> None:
    assert describe(JobError("x.json: epochs is wrong")) == "x.json: epochs is wrong"


def test_report_names_the_place_in_the_users_code_not_in_a_library() -> None:
    reason = describe(caught(json.loads, "{"))[:REASON_LENGTH]
    first, second = reason.splitlines()[:2]
    assert first.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert second.startswith(f"  in {__file__}, line ")


def test_failure_reason_has_the_end_of_a_long_traceback_and_the_file_all_of_it() -> None:
    text = describe(caught(deep, 200))
    assert text.startswith(f"ValueError: the bottom\n  in {__file__}, line ")
    assert text[:REASON_LENGTH].rstrip().endswith("ValueError: the bottom")
    assert text.count("deep(levels - 1)") > 2


def test_long_message_leaves_space_for_the_place() -> None:
    def fail() -> None:
        raise ValueError("x" * 100_000 + " end")

    text = describe(caught(fail))[:REASON_LENGTH]
    assert text.startswith("ValueError: xxx")
    assert f"  in {__file__}, line " in text
    assert text.endswith("x end")

    text = describe_child("train.py", *run_python("raise ValueError('x' * 50_000)"))[:REASON_LENGTH]
    assert 'x...\n  in File "<string>", line 1, in <module>\ntrain.py ended with status 1\n' in text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_explained(number: int) -> None:
    text = describe(OSError(number, "No space left on device", "/opt/ml/model/x"))
    assert text.startswith("the disk is full: OSError: ")
    assert "/opt/ml/model/x" in text


@pytest.mark.parametrize(
    ("error", "status"),
    [(JobError("x"), 1), (OSError("no errno"), 1), (OSError(0, "zero"), 1), (ValueError(), 1), (JobStopped(), 143)],
)
def test_every_exception_has_a_status_other_than_0(tmp_path: Path, error: BaseException, status: int) -> None:
    assert report(tmp_path / "output/failure", error) == status
    assert (tmp_path / "output/failure").read_text().strip()


@given(st.text(), st.integers(1, 255), st.text())
def test_report_of_a_child_always_has_its_status(name: str, status: int, output: str) -> None:
    text = describe_child(name, status, output)
    assert explain_status(status) in text[:REASON_LENGTH] or len(name) > 400


def run_python(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.returncode if done.returncode >= 0 else 128 - done.returncode), done.stderr


def test_chained_exception_of_a_child_is_reported_with_the_users_frame() -> None:
    code = "import json\ntry:\n    1/0\nexcept ZeroDivisionError:\n    json.loads('{')\n"
    text = describe_child("train.py", *run_python(code))
    assert text.startswith(
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
        '  in File "<string>", line 5, in <module>\n'
        "while handling ZeroDivisionError: division by zero\n"
        '  in File "<string>", line 3, in <module>\n'
        "train.py ended with status 1\n"
    )


def test_last_line_of_a_program_is_the_reason() -> None:
    text = describe_child("train.py", *run_python("print('x'); raise SystemExit('no data in channel training')"))
    assert text.startswith("train.py ended with status 1: no data in channel training\n")
    handled = "import sys, traceback\ntry: 1/0\nexcept ArithmeticError: traceback.print_exc()\n"
    text = describe_child("train.py", *run_python(f"{handled}print('no room', file=sys.stderr); sys.exit(4)"))
    assert text.startswith(
        "train.py ended with status 4: no room\nits last traceback: ZeroDivisionError: division by zero"
    )
    text = describe_child("train.py", *run_python(f"{handled}sys.exit(4)"))
    assert text.startswith("ZeroDivisionError: division by zero\n")


def test_progress_bars_and_tensorflow_info_lines_are_not_the_reason() -> None:
    output = "1/9 [>....]\b\b\b\b2/9 [=>...]\b\b\b3/9\nI0000 00:00:1 port.cc:153] oneDNN: round-off errors may differ\n"
    text = describe_child("train.py", 139, output)
    assert text.startswith("train.py was killed by SIGSEGV (a crash in native code)\n\n")
    assert "\b" not in text
    assert "3/9" in text


def group_of(count: int) -> None:
    raise ExceptionGroup("tasks failed", [ValueError(f"task {number} {'x' * 100}") for number in range(count)])


def test_members_of_an_exception_group_are_listed_up_to_the_limit() -> None:
    headline = describe(caught(group_of, 20))[:REASON_LENGTH].split("\n\n")[0].splitlines()
    assert headline[0] == "ExceptionGroup: tasks failed (20 sub-exceptions)"
    assert headline[1].startswith(f"  in {__file__}, line ")
    assert headline[2].startswith("  - ValueError: task 0 xxx")
    assert headline[-1].startswith("  - ValueError: task 4 xxx")


def test_members_of_a_scripts_exception_group_are_listed_and_counted() -> None:
    code = "def f(n): raise ValueError(n)\nerrors = []\nfor n in range(30):\n try: f(n)\n except ValueError as error: "
    code += "errors.append(error)\nraise ExceptionGroup('tasks', [KeyError('a'), ExceptionGroup('inner', errors)])"
    headline = describe_child("train.py", *run_python(code)).split("\n\n")[0].splitlines()
    assert headline == [
        "ExceptionGroup: tasks (2 sub-exceptions)",
        '  in File "<string>", line 6, in <module>',
        "  - KeyError: 'a'",
        *(f'  - ValueError: {number}, in File "<string>", line 1, in f' for number in range(5)),
        "  - and 25 more",
        "train.py ended with status 1",
    ]


def chain(links: int) -> None:
    try:
        if links:
            chain(links - 1)
        else:
            raise KeyError("a")  # the root of it
    except Exception as error:
        raise ValueError(f"link {links}") from error


def test_causes_are_listed_with_the_first_one() -> None:
    headline = [line for line in describe(caught(chain, 5)).split("\n\n")[0].splitlines() if line[0] != " "]
    assert headline == [
        "ValueError: link 5",
        "caused by ValueError: link 4",
        "caused by ValueError: link 3",
        "caused by 3 more",
        "caused by KeyError: 'a'",
    ]


def test_suppressed_cause_is_not_listed() -> None:
    def fail() -> None:
        try:
            raise KeyError("a")
        except KeyError:
            raise ValueError("torn") from None

    assert "KeyError" not in describe(caught(fail))


TRACEBACK = """\
Traceback (most recent call last):
  File "/code/t.py", line 2, in <module>
    1 / 0
ZeroDivisionError: division by zero
"""
RAISED = 'ZeroDivisionError: division by zero\n  in File "/code/t.py", line 2, in <module>\nt.py ended with status '
EPOCHS = "".join(f"epoch {number}, validation error 0.{number}\n" for number in range(100))
NAN = "ERROR: the validation loss is NaN\n"
NOISE = {
    "nothing": "",
    "PyTorch": "[rank0]:[W1121 20:55:01.5 ProcessGroupNCCL.cpp:1250] Warning: destroy_process_group() was not called\n",
    "absl": "E1121 20:55:01.123456 12345 some.cc:12] shutting down\nI1121 20:55:01.1 1 other.cc:1] x\n" * 5,
    "wandb": "wandb: \nwandb: Run history:\n" + "wandb:     loss 1\n" * 50,
    "resource_tracker": "/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: "
    "There appear to be 1 leaked semaphore objects to clean up at shutdown\n  warnings.warn('resource_tracker')\n",
    "tensorflow": "2026-11-21 20:55:01.123: W tensorflow/core/framework/local_rendezvous.cc:404] Local rendezvous\n",
    "C++": "terminate called without an active exception\n",
    "conda": "ERROR conda.cli.main_run:execute(49): `conda run python t.py` failed. (See above for error)\n",
    "a thread's": "Exception in thread Thread-1 (work):\nTraceback (most recent call last):\n"
    '  File "/usr/lib/python3.11/threading.py", line 1038, in _bootstrap_inner\n    self.run()\nRuntimeError: closed\n',
    "ignored": "Exception ignored in: <function Loader.__del__ at 0x7f00>\nTraceback (most recent call last):\n"
    '  File "/usr/lib/python3.11/x.py", line 1, in __del__\n    self.close()\nOSError: closed\n',
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_library_output_after_the_last_exception_is_ignored(noise: str) -> None:
    text = describe_child("t.py", 1, "INFO: begin\n" + TRACEBACK + noise, EPOCHS)
    assert text.startswith(RAISED + "1\n")


def test_multi_line_messages_are_whole() -> None:
    error = (
        "torch.AcceleratorError: CUDA error: device-side assert triggered\nCUDA kernel errors might be reported late\n"
    )
    error += "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with TORCH_USE_CUDA_DSA\n\n"
    text = describe_child("t.py", 1, TRACEBACK.replace("ZeroDivisionError: division by zero\n", error))
    assert text.startswith(error.strip())


def test_exception_that_is_also_printed_is_reported_once() -> None:
    text = describe_child("t.py", 1, TRACEBACK, "ZeroDivisionError('division by zero')\n")
    assert text.startswith(RAISED + "1\n")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(5, RAISED[:20]), (20, "t.py ended with status 1\nits last traceback: Ze"), (90, "t.py ended with status 1\n\n")],
)
def test_exception_followed_by_much_output_is_not_the_reason(lines: int, expected: str) -> None:
    assert describe_child("t.py", 1, TRACEBACK + "something\n" * lines).startswith(expected)


def test_exception_printed_right_before_exit_is_the_reason() -> None:
    assert describe_child("t.py", 3, TRACEBACK).startswith(RAISED + "3\n")
    logged = f"ERROR:root:it failed\n{TRACEBACK}"
    assert describe_child("t.py", 1, "a warning\n", EPOCHS + logged).startswith(RAISED + "1\n")


HANDLED = {
    "all on stderr": (TRACEBACK + EPOCHS + NAN, ""),
    "the epochs on stdout": (TRACEBACK + NAN, EPOCHS),
    "epochs and reason on stdout": (TRACEBACK, EPOCHS + NAN),
    "all on stdout": ("", TRACEBACK + EPOCHS + NAN),
    "all on stdout, a shell's on stderr": ("line 3: x: command not found\n", TRACEBACK + EPOCHS + NAN),
    "long before": (OutputTail(TRACEBACK, 60), EPOCHS + NAN),
}


@pytest.mark.parametrize("status", [1, 3])
@pytest.mark.parametrize(("stderr", "stdout"), HANDLED.values(), ids=HANDLED)
def test_handled_exception_is_not_the_reason(stderr: OutputTail | str, stdout: str, status: int) -> None:
    text = describe_child("t.py", status, stderr, stdout)
    assert text.startswith(f"t.py ended with status {status}: {NAN}")
    assert NAN.strip() in text[:REASON_LENGTH].split("\n\n", 1)[1]


def test_exception_long_before_the_end_is_not_the_reason() -> None:
    assert describe_child("t.py", 1, OutputTail(TRACEBACK, 20), EPOCHS).startswith(RAISED + "1\n")
    assert describe_child("t.py", 1, OutputTail(TRACEBACK, 90), EPOCHS).startswith("t.py ended with status 1\n\n")
    assert describe_child("t.py", 2, OutputTail(TRACEBACK, 20), EPOCHS).startswith(
        "t.py ended with status 2\nits last tr"
    )
    assert describe_child("t.py", 2, OutputTail(TRACEBACK, 90), EPOCHS).startswith("t.py ended with status 2\n\n")
    nan = "the validation loss is NaN\n"
    assert describe_child("t.py", 1, OutputTail(TRACEBACK + nan, 0, nan)).startswith("t.py ended with status 1\n\n")
    whole = OutputTail(TRACEBACK + NOISE["C++"], 0, NOISE["C++"])
    assert describe_child("t.py", 1, whole).startswith(RAISED + "1\n")
    assert describe_child("t.py", 1, OutputTail(EPOCHS + TRACEBACK, 0, TRACEBACK)).startswith(RAISED + "1\n")


CHILD = "subprocess.CalledProcessError: Command '['python', 'prepare.py']' returned non-zero exit status 1."
TORCHRUN = """\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-21_20:55:01
============================================================"""


PEER = "RuntimeError: [gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:35012."


@pytest.mark.parametrize("said", [CHILD, TORCHRUN, PEER], ids=["subprocess", "torchrun", "another rank"])
def test_exception_of_a_programs_child_is_reported(said: str) -> None:
    by_parent = TRACEBACK.replace("ZeroDivisionError: division by zero", said)
    noise = "E1121 20:55:01.123000 4711 torch/distributed/elastic/multiprocessing/api.py:900] failed (exitcode: 1)\n"
    assert describe_child("t.py", 1, TRACEBACK + noise + by_parent).startswith(RAISED + "1\n")
    assert describe_child("t.py", 1, EPOCHS + by_parent).startswith(said.splitlines()[0])


def test_exception_of_a_thread_is_reported_if_there_is_no_other() -> None:
    text = describe_child("t.py", 1, f"Exception in thread Thread-1 (work):\n{TRACEBACK}")
    assert text.startswith("t.py ended with status 1\nits last traceback: ZeroDivisionError: division by zero\n")


def test_report_has_the_ends_of_stdout_and_stderr() -> None:
    reason = describe_child("t.py", 9, "x" * 5000 + "the end of stderr", EPOCHS)[:REASON_LENGTH]
    assert "error 0.99\n\n..." in reason
    assert "the end of stderr" in reason


def test_secondary_failure_by_cause_but_not_by_context() -> None:
    code = "try: raise OSError('Connection reset by peer')\nexcept OSError as error: raise ValueError('torn')"
    assert is_secondary(describe_child("t.py", *run_python(f"{code} from error")))
    assert not is_secondary(describe_child("t.py", *run_python(code)))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "OSError: [Errno 28] No space left on device: '/opt/ml/model/x'",
            "the disk is full: OSError: [Errno 28] No space left on device: '/opt/ml/model/x'; free some",
        ),
        (
            "RuntimeError: unable to write to file </torch_12_3>: No space left on device (28)",
            "the shared memory /dev/shm is full: RuntimeError: unable to write to file",
        ),
    ],
)
def test_full_disk_of_a_script_is_explained(said: str, reason: str) -> None:
    text = describe_child("t.py", 1, TRACEBACK.replace("ZeroDivisionError: division by zero", said))
    assert text.startswith(reason)


@pytest.mark.parametrize(
    "said", ["ssh: Could not resolve hostname algo-2: Name or service not known", "Fatal Python error: Aborted"]
)
def test_fatal_line_before_long_output_is_found(said: str) -> None:
    text = describe_child("mpirun t.py", 255, f"{said}\n" + "* not finding the required libraries\n" * 30)
    assert text.startswith(f"mpirun t.py ended with status 255: {said}")


def test_full_disk_of_a_shell_is_explained() -> None:
    text = describe_child("run.sh", 1, "cp: error writing '/opt/ml/model/x': No space left on device\n")
    assert text.startswith("run.sh ended with status 1: the disk is full: cp: error writing '/opt/ml/model/x'")


def test_message_of_several_lines_is_kept() -> None:
    text = describe_child("train.py", *run_python("raise ValueError('one\\ntwo')"))
    assert text.startswith("ValueError: one\ntwo\n  in File")


@pytest.mark.parametrize(
    ("after", "ends"),
    [("", True), ("terminate called without an active exception\n", True), ("step\n" * 9, False)],
)
def test_ends_in_traceback(after: str, ends: bool) -> None:
    _, output = run_python("raise ValueError('torn')")
    assert ends_in_traceback(output + after) == ends
    assert not ends_in_traceback(after)


def test_rank_prefix_of_pytorch_is_removed() -> None:
    status, output = run_python("raise ValueError('torn')")
    marked = "".join(f"[rank3]: {line}\n" for line in output.splitlines())
    assert describe_child("train.py", status, marked) == describe_child("train.py", status, output)


def test_signal_is_the_reason_even_after_a_traceback() -> None:
    code = "import os, traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()\nos.kill(os.getpid(), 9)"
    text = describe_child("train.py", *run_python(code))
    assert text.startswith("train.py was killed by SIGKILL (often: out of memory)")
    assert "ZeroDivisionError" in text


def test_error_line_is_the_reason_without_a_traceback() -> None:
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
def test_explain_status(status: int, said: str) -> None:
    assert explain_status(status) == said


def test_surrogates_are_written_escaped(tmp_path: Path) -> None:
    write_failure(tmp_path / "failure", "half a surrogate \ud800")
    assert (tmp_path / "failure").read_text() == "half a surrogate \\ud800\n"


def test_unwritable_failure_file_is_only_logged(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file, where a folder should be")
    assert report(tmp_path / "output/failure", ValueError("x")) == 1


def test_exception_whose_str_raises_is_named_by_its_type(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class OddError(Exception):
        def __getattribute__(self, name: str) -> object:
            if name == "__notes__":
                raise ValueError("no notes")
            return super().__getattribute__(name)

    assert report(tmp_path / "failure", caught(raises, OddError("torn"))) == 1
    assert (
        (tmp_path / "failure")
        .read_text()
        .startswith("test_exception_whose_str_raises_is_named_by_its_type.<locals>.OddError")
    )


def raises(error: BaseException) -> None:
    raise error


def test_groups_with_shared_members_are_reported_quickly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    group: ExceptionGroup[Exception] = ExceptionGroup("leaf", [ValueError("torn")])
    for number in range(40):
        group = ExceptionGroup(f"g{number}", [group, group])
    assert report(tmp_path / "failure", caught(raises, group)) == 1
    lines = (tmp_path / "failure").read_text().splitlines()
    assert (lines[0], lines[2]) == ("ExceptionGroup: g39 (2 sub-exceptions)", "  - ValueError: torn")
    assert capfd.readouterr().err.endswith("ExceptionGroup: g39 (2 sub-exceptions)\n")


def test_traceback_headers_in_a_message_do_not_hide_the_exception() -> None:
    script = """
try:
    raise ValueError("x\\n" + "a Traceback (most recent call last):\\n" * 1400)
except ValueError as e:
    raise KeyError("the real one") from e
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    text = describe_child("train.py", 1, done.stderr)
    assert text.startswith("KeyError: 'the real one'")
    assert "train.py ended with status 1" in text[:REASON_LENGTH]


def test_unreadable_output_is_reported_with_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(output: str) -> list[object]:
        raise RecursionError

    monkeypatch.setattr("byo_container.container.tracebacks.in_output", fails)
    text = describe_child("train.py", 3, "its last words\n", "and on stdout\n")
    assert text == "train.py ended with status 3\n\nand on stdout\n\nits last words"
    assert not ends_in_traceback("its last words")
