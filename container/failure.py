"""What a failed run tells the platform: exit status, output/failure, and a line in the log.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-signal-success-failure.html
The first 1,024 characters of the file become FailureReason, so the most useful ones come first.
"""

from __future__ import annotations

import errno
import re
import signal
import traceback
from pathlib import Path

from container.log import log

REASON_LENGTH = 1024
STOPPED_STATUS = 128 + signal.SIGTERM


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
    said = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {said}; free some space or ask for a larger volume"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return said
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{said}\n  in {own[-1].filename}, line {own[-1].lineno}, {own[-1].name}"


def describe_child(name: str, status: int, output: str) -> str:
    """The same for a process of which only its exit status and the end of its output are known.

    `status` is a shell's: 128 + N for a process that signal N killed.
    """
    died = explain_status(status)
    trace = _last_traceback(output)
    if trace:
        lines = trace.rstrip().splitlines()
        frames = [line.strip() for line in lines if re.match(r' +File ".*", line \d+', line)]
        own = [frame for frame in frames if "site-packages" not in frame] or frames
        where = f"\n  in {own[-1]}" if own else ""
        return _compose(f"{_exception_of(lines)}{where}\n{name} {died}", trace)
    return _compose(f"{name} {died}{_last_error_line(output)}", output.strip())


def _last_error_line(output: str) -> str:
    """`: ERROR: no such package`, from a program that says what is wrong without a traceback."""
    lines = [line.strip() for line in output.splitlines() if re.search(r"error", line, re.IGNORECASE)]
    return f": {lines[-1]}" if lines else ""


def explain_status(status: int) -> str:
    """What an exit status means, for people: `was killed by SIGKILL (often: out of memory)`."""
    if status <= 128 or status - 128 not in set(signal.Signals):
        return f"ended with status {status}"
    number = signal.Signals(status - 128)
    hint = {
        signal.SIGKILL: " (often: out of memory)",
        signal.SIGSEGV: " (a crash in native code)",
        signal.SIGBUS: " (often: /dev/shm is full)",
    }.get(number, "")
    return f"was killed by {number.name}{hint}"


def _last_traceback(output: str) -> str:
    """The last traceback in a process's output, with what it was raised from; empty when none."""
    start = output.rfind("Traceback (most recent call last):")
    return output[start:] if start >= 0 else ""


def _exception_of(lines: list[str]) -> str:
    """The exception's own line(s) of a traceback: the first that is not indented, after the frames."""
    for number, line in enumerate(lines[1:], 1):
        if line and not line.startswith(" "):
            return "\n".join(lines[number:])[: REASON_LENGTH // 2]
    return lines[-1]


def _compose(headline: str, detail: str) -> str:
    """`headline`, then as much of the end of `detail` as FailureReason holds, then all of it."""
    headline = headline if len(headline) <= REASON_LENGTH // 2 else headline[: REASON_LENGTH // 2 - 3] + "..."
    room = REASON_LENGTH - len(headline) - 2
    if len(detail) <= room:
        return f"{headline}\n\n{detail}".strip()
    tail = "..." + detail[-(room - 3) :]
    return f"{headline}\n\n{tail}\n\n--- in full ---\n{detail}"


def write_failure(path: Path, text: str) -> None:
    """Leaves `text` where the platform looks for it. A disk that is full too must not hide the reason."""
    log.error("failed: %s", text.split("\n\n", 1)[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.error("could not write the failure file %s: %s", path, error)
