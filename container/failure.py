"""What a failed run tells the platform: exit status, output/failure, and a line in the log.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-signal-success-failure.html
The first 1,024 characters of the file become FailureReason, so the most useful ones come first.
"""

from __future__ import annotations

import contextlib
import errno
import re
import signal
import traceback
from pathlib import Path

from container.log import log

REASON_LENGTH = 1024
MESSAGE_LENGTH = 400  # of an exception: behind it there must be room for where it happened
TRACEBACK = "Traceback (most recent call last):"
# Frames of the standard library, of packages and of ours: where an error came up, and seldom where it was made.
HOME = re.escape(str(Path(__file__).resolve().parent.parent))
LIBRARY = re.compile(rf"site-packages|/lib/python3[^/]*/|<frozen |{HOME}/(container|training)/")
RANK_MARK = re.compile(r"^\[rank\d+\]: ?", re.MULTILINE)  # which PyTorch puts before each line of a traceback
STOPPED_STATUS = 128 + signal.SIGTERM
# Whose partner in a collective has gone fails too, and often says so first. So does one that was told to end.
CONSEQUENCE = re.compile(
    r"connection (was )?(closed|reset|refused|aborted|lost|timed out)|broken ?pipe|remote process exited|nccl|"
    r"distnetworkerror|diststoreerror|socket (was )?(closed|time)|unavailableerror|abortederror|cancellederror|"
    r"collective.*time|by SIGTERM|before it had finished|(torchrun|mpirun) \S+ (ended|was)",
    re.IGNORECASE,
)


class JobError(Exception):
    """Bad input to a job. The message says what is wrong, where, and what would be right."""


class JobStopped(BaseException):
    """The platform asked the job to stop (SIGTERM) before it had finished.

    A BaseException, like KeyboardInterrupt, so that no `except Exception` takes a stop for a fault.
    """


def describe(error: BaseException) -> str:
    """The text of the failure file: what was wrong and where, then the tail of the traceback."""
    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, JobStopped):
        return f"stopped by SIGTERM before it had finished: {error}".rstrip(": ")
    trace = "".join(traceback.format_exception(error)).strip()
    return _compose(_headline(error), trace)


def _headline(error: BaseException) -> str:
    said = _shorten("".join(traceback.format_exception_only(error)).strip(), MESSAGE_LENGTH)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        said = f"the disk is full: {said}; free some space or ask for a larger volume"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return said
    own = [frame for frame in frames if not LIBRARY.search(frame.filename)] or frames
    return f"{said}\n  in {own[-1].filename}, line {own[-1].lineno}, {own[-1].name}"


def describe_child(name: str, status: int, output: str, died: str = "") -> str:
    """The same for a process of which only its exit status and the end of its output are known. `died` is what to say
    of the status where that is known better.

    `status` is a shell's: 128 + N for a process that signal N killed. Such a one died of the signal, whatever
    traceback it printed before.
    """
    died = died or explain_status(status)
    output = RANK_MARK.sub("", output)
    trace = _last_traceback(output)
    if trace and not _signal_of(status):
        lines = trace.rstrip().splitlines()
        frames = [line.strip() for line in lines if re.match(r' +File ".*", line \d+', line)]
        own = [frame for frame in frames if not LIBRARY.search(frame)] or frames
        where = f"\n  in {own[-1]}" if own else ""
        return _compose(f"{_exception_of(lines)}{where}\n{name} {died}", trace)
    return _compose(f"{name} {died}{_last_error_line(output)}", output.strip())


def _last_error_line(output: str) -> str:
    """`: ERROR: no such package`, from a program that says what is wrong without a traceback."""
    lines = [line.strip() for line in output.splitlines() if re.search(r"error", line, re.IGNORECASE)]
    return f": {lines[-1]}" if lines else ""


def is_consequence(text: str) -> bool:
    """Whether a failure's headline sounds as if it had its cause in another process, or in a stop."""
    return bool(CONSEQUENCE.search(text.split("\n\n", 1)[0]))


def explain_status(status: int) -> str:
    """What an exit status means, for people: `was killed by SIGKILL (often: out of memory)`."""
    number = _signal_of(status)
    if number is None:
        return f"ended with status {status}"
    hint = {
        signal.SIGKILL: " (often: out of memory)",
        signal.SIGSEGV: " (a crash in native code)",
        signal.SIGBUS: " (often: /dev/shm is full)",
    }.get(number, "")
    return f"was killed by {number.name}{hint}"


def _signal_of(status: int) -> signal.Signals | None:
    return signal.Signals(status - 128) if status - 128 in set(signal.Signals) else None


def _last_traceback(output: str) -> str:
    """The last traceback in a process's output, to the end of it; empty when none."""
    start = output.rfind(TRACEBACK)
    return output[start:] if start >= 0 else ""


def ends_in_traceback(output: str) -> bool:
    """Whether an exception was the last that a process had to say, but for a line or two of its libraries."""
    lines = _last_traceback(RANK_MARK.sub("", output)).rstrip().splitlines()
    after = [number for number, line in enumerate(lines[1:], 1) if line and not line.startswith(" ")]
    return bool(after) and len(lines) - after[0] <= 4


def _exception_of(lines: list[str]) -> str:
    """The exception's own line(s) of a traceback: the first that is not indented, after the frames."""
    for number, line in enumerate(lines[1:], 1):
        if line and not line.startswith(" "):
            return _shorten("\n".join(lines[number:]), MESSAGE_LENGTH)
    return _shorten(lines[-1], MESSAGE_LENGTH)


def _compose(headline: str, detail: str) -> str:
    """`headline`, then as much of the end of `detail` as FailureReason holds, then all of it."""
    headline = _shorten(headline, REASON_LENGTH * 3 // 4)
    room = REASON_LENGTH - len(headline) - 2
    if len(detail) <= room:
        return f"{headline}\n\n{detail}".strip()
    tail = "..." + detail[-(room - 3) :]
    return f"{headline}\n\n{tail}\n\n--- in full ---\n{detail}"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def report(path: Path, error: BaseException) -> int:
    """Tells log and platform of the exception that ended a job, and returns the exit status."""
    write_failure(path, describe(error))
    if not isinstance(error, JobError | JobStopped):
        with contextlib.suppress(OSError):  # nobody reads our output
            traceback.print_exception(error)
    return STOPPED_STATUS if isinstance(error, JobStopped) else 1


def write_failure(path: Path, text: str) -> None:
    """Leaves `text` where the platform looks for it. A disk that is full too must not hide the reason."""
    log.error("failed: %s", text.split("\n\n", 1)[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.error("could not write the failure file %s: %s", path, error)
