"""Failure reports: the exit status, the file output/failure and a line of the log of a run that failed.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-signal-success-failure.html
The first 1,024 characters of the file become FailureReason, so the most useful text comes first.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from byo_container.container import tracebacks
from byo_container.container.files.disk_space import write_with_room
from byo_container.container.log import log
from byo_container.container.tracebacks import Printed, Raised

REASON_LENGTH = 1024
HEADLINE_LENGTH = REASON_LENGTH * 3 // 4
MESSAGE_LENGTH = 400  # of an exception; the place where it was raised must fit behind it
FURTHER_LENGTH = 160  # of its causes, and of the members of a group, each
MOST_MEMBERS = 6
STOPPED_STATUS = 128 + signal.SIGTERM
PYTHON_STATUS = 1  # the exit status of Python after an uncaught exception
# How long a process may run after the exception that ends it, while threads and exit handlers finish.
LINGERS_S = 30.0
EXITS_S = 5.0  # the same for a process that caught the exception and exits with a status of its own
# Lines of a message after the first one, without indented ones: up to 8 surely belong to it, up to 40 perhaps.
SURE_MESSAGE_LINES, MOST_MESSAGE_LINES = 8, 40
MOST_OTHER_LINES = 4  # of other output after a message
LATE_LINES = 20
# Output of libraries, and of Python, after an exception.
NOISE = re.compile(
    r"wandb: |\[?[IWEF]\d{4} |terminate called|ERROR conda\.cli|Aborted|Segmentation fault|" + tracebacks.ASIDE.pattern
)
TENSORFLOW_INFO = re.compile(r"\[?[IW]\d{4} ")  # its log lines at the levels INFO and WARNING
LOGGED = re.compile(r"\[?\d{4}-\d\d-\d\d|\[?\d\d:\d\d|\[?(DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL)\b|\S+: \w*Warning: ")
ERROR = re.compile(
    r"\b(ERROR|CRITICAL|FATAL)\b|^(fatal |[\w.]+: )?(error|fatal|([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception))\b"
)
FATAL = ("Fatal Python error", "ssh: ")  # before the stacks of all threads, and before mpirun's page of guesses
FULL = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]")
SHARED_MEMORY = re.compile(r"/dev/shm|</?torch_")  # noqa: S108, only looked for in messages
# Exceptions of torchrun, accelerate and others that only say that a program which they started has failed.
CHILD_FAILED = re.compile(r"([a-z_]+\.)*(ChildFailedError|CalledProcessError|ProcessExitedException)\b")
# When one rank dies, its peers fail in their next collective, and often report first. These patterns recognise such
# secondary failures, and those of processes that were stopped.
SECONDARY = re.compile(
    r"connection (was )?(closed|reset|refused|aborted|lost|timed out)|broken ?pipe|remote process exited|nccl|"
    r"distnetworkerror|diststoreerror|socket (was )?(closed|time)|unavailableerror|abortederror|cancellederror|"
    r"collective.*time|by SIGTERM|before it had finished|(torchrun|mpirun) \S+ (ended|was)",
    re.IGNORECASE,
)
# The lines about an exception that was being handled when this one was raised; it need not be the cause.
HANDLED = re.compile(rf"^{tracebacks.LINKS[tracebacks.CONTEXT]} .*(\n  .*)*", re.MULTILINE)


class JobError(Exception):
    """Bad input to a job. The message says what is wrong, where, and what would be right."""


class JobStopped(BaseException):
    """The platform asked the job to stop (SIGTERM) before it had finished.

    A BaseException, like KeyboardInterrupt, so that no `except Exception` handles a stop as an error.
    """


def describe(error: BaseException) -> str:
    """The failure report of an exception: what was wrong and where, then the end of the traceback."""
    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, JobStopped):
        return f"stopped by SIGTERM before it had finished: {error}".rstrip(": ")
    try:
        trace = tracebacks.formatted(error).strip()
        return _compose(_headline(tracebacks.from_exception(error), HEADLINE_LENGTH), trace)
    except Exception as fault:  # of the exception's own code, such as __str__
        return f"{type(error).__qualname__}; its message and traceback cannot be shown: {type(fault).__qualname__}"


def _headline(raised: Raised, length: int) -> str:
    """An exception, the members of a group, and the causes, as many as fit into `length`."""
    lines = _message_and_place(raised, MESSAGE_LENGTH)
    for more in [*_members(raised), *_causes(raised)]:
        if sum(len(line) + 1 for line in [*lines, *more]) > length:
            break
        lines += more
    return _shorten("\n".join(lines), length)


def _message_and_place(raised: Raised, length: int) -> list[str]:
    message = explain_full(_shorten(raised.text, length))
    return [message, f"  in {raised.place}"] if raised.place else [message]


def explain_full(message: str) -> str:
    """Adds advice to an error message where it says that a disk is full."""
    if not FULL.search(message):
        return message
    if SHARED_MEMORY.search(message):
        return (
            f"the shared memory /dev/shm is full: {message}; have fewer workers load data, or `docker run --shm-size`"
        )
    return f"the disk is full: {message}; free some space or ask for a larger volume"


def _members(raised: Raised) -> Iterator[list[str]]:
    if not raised.members:
        return
    leaves = list(raised.leaves())[:MOST_MEMBERS]
    for leaf in leaves:
        yield ["  - " + ", ".join(line.strip() for line in _message_and_place(leaf, FURTHER_LENGTH))]
    if more := raised.count_leaves() - len(leaves):
        yield [f"  - and {more} more"]


def _causes(raised: Raised) -> Iterator[list[str]]:
    """The two nearest causes and the first one of the chain, each with its link to the exception that it led to."""
    chain = []
    while raised.cause:
        chain.append((raised.link, raised.cause))
        raised = raised.cause
    for number, (link, cause) in enumerate(chain):
        if number < 2 or cause is chain[-1][1]:
            first, *place = _message_and_place(cause, FURTHER_LENGTH)
            yield [f"{link} {first}", *place]
            yield from _members(cause)
        elif number == 2:
            yield [f"caused by {len(chain) - 3} more"]


@dataclass(frozen=True)
class OutputTail:
    """The end of the output of a process on one stream, and how long the process ran after it."""

    text: str
    lived_on_s: float = 0.0
    recent: str | None = None
    """The part of `text` that came after the last long pause; None where the time is not known."""

    def has_news(self) -> bool:
        """Whether the output after the last pause is something else than the end of a traceback."""
        return (
            self.recent is not None
            and len(self.recent) < len(self.text)
            and not tracebacks.in_output(self.recent)
            and _count(self.recent.splitlines()) > 0
        )


def describe_child(
    name: str, status: int, stderr: OutputTail | str, stdout: OutputTail | str = "", died: str = ""
) -> str:
    """The failure report of a process of which only the exit status and the end of its output are known.

    An exception ended it if its output ends with a traceback. `status` is a shell's: 128 + N for a process that signal
    N killed; then the signal is the reason, whatever traceback was printed before. `died` replaces the explanation of
    the status where the caller knows better.
    """
    died = f"{name} {died or explain_status(status)}"
    streams = [OutputTail(each) if isinstance(each, str) else each for each in (stderr, stdout)]
    try:
        return _report_of_output(status, streams, died)
    except Exception as fault:  # the output may be anything; the failure has to be reported all the same
        log.warning("the output of %s cannot be searched for a traceback: %s", name, type(fault).__qualname__)
        errors, output = (each.text.strip() for each in streams)
        return _compose(died, output, errors)


def _report_of_output(status: int, streams: Sequence[OutputTail], died: str) -> str:
    """`died`, the reason according to the end of stderr and stdout, and that end."""
    errors, output = (tracebacks.clean(each.text) for each in streams)
    late = _late_error(errors, output)
    if last := _last_raised(status, streams):
        printed, exactly = last
        kind = printed.raised.text.partition(":")[0].rpartition(".")[2]
        if exactly and (not late or kind in late):
            whole = printed.raised.with_message(_split(printed.after)[0])
            raised = _headline(whole, max(HEADLINE_LENGTH - len(died) - 1, 200))
            return _compose(f"{raised}\n{died}", "\n".join(printed.lines).strip())
        if not late and _count(printed.after) <= SURE_MESSAGE_LINES:
            late = _last_line(printed.after)
        reason = f"{died}: {_shorten(late, FURTHER_LENGTH)}" if late else died
        reason = f"{reason}\nits last traceback: {_headline(printed.raised, MESSAGE_LENGTH)}"
        return _compose(reason, output.strip()[-MESSAGE_LENGTH:] if late else "", errors.strip())
    late = late or _vague_error(errors)
    if not (late or _signal_of(status) or tracebacks.in_output(errors)):
        late = _shorten(_last_line(errors.splitlines()), MESSAGE_LENGTH)
    late = explain_full(late)
    return _compose(f"{died}: {late}" if late else died, output.strip(), errors.strip())


def _last_raised(status: int, streams: Sequence[OutputTail]) -> tuple[Printed, bool] | None:
    """The traceback at the end of stderr, else of stdout, and whether its exception ended the process. If not, it is
    only the last one that was printed, such as a thread's."""
    if _signal_of(status):
        return None
    for stream in streams:
        printed, exactly = _final(stream.text)
        if printed and stream.lived_on_s <= LINGERS_S and not stream.has_news():
            message, _ = _split(printed.after)
            caught = stream.lived_on_s <= EXITS_S and not _count(message)  # and printed, right before the end
            return printed, exactly and (status == PYTHON_STATUS or caught)
    return None


def _final(output: str) -> tuple[Printed | None, bool]:
    """The traceback at the end of an output, and whether it surely is at the end. The traceback of a thread, or of a
    secondary failure, counts only if there is no other right before it."""
    fallback: tuple[Printed | None, bool] = None, False
    exactly = True
    for printed in reversed(tracebacks.in_output(output)):
        text = printed.raised.text
        message, others = _split(printed.after)
        length = 0 if CHILD_FAILED.match(text) else _count(message)  # torchrun's message is a table
        if length > MOST_MESSAGE_LINES or _count(others) > MOST_OTHER_LINES:
            break
        exactly &= length <= SURE_MESSAGE_LINES and not any(
            ERROR.search(line) and not NOISE.match(line) for line in others
        )
        if not (printed.aside or CHILD_FAILED.match(text) or SECONDARY.search(text)):
            return printed, exactly
        if not fallback[0]:
            fallback = printed, exactly and not printed.aside
    return fallback


def _split(after: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Splits the lines after the first one of an exception into the rest of its message and other output."""
    for number, line in enumerate(after):
        if LOGGED.match(line) or NOISE.match(line):
            return after[:number], after[number:]
    return after, []


def _count(lines: Sequence[str]) -> int:
    """How many lines are neither empty, nor indented, nor noise."""
    return sum(1 for line in lines if line.strip() and not line[0].isspace() and not NOISE.match(line))


def _late_error(errors: str, output: str) -> str:
    """The error line of a program that prints one without a traceback, or after it: `ERROR: no such package`."""
    since = _since_traceback(errors)
    lines = [*_since_traceback(output)[-3:], *since[-LATE_LINES:]]
    errors_found = [
        line.strip() for line in lines if (ERROR.search(line) or FULL.search(line)) and not NOISE.match(line)
    ]
    fatal = [line for line in since if line.startswith(FATAL)]
    return next(reversed(errors_found or fatal), "")


def _since_traceback(output: str) -> Sequence[str]:
    printed = tracebacks.in_output(output)
    return _split(printed[-1].after)[1] if printed else output.splitlines()


def _vague_error(errors: str) -> str:
    last = errors.splitlines()[-LATE_LINES:]
    lines = [
        line.strip() for line in last if re.search(r"error", line, re.IGNORECASE) and not TENSORFLOW_INFO.match(line)
    ]
    return lines[-1] if lines and not tracebacks.in_output(errors) else ""


def _last_line(lines: Sequence[str]) -> str:
    """The last line unless it is one of a log: `no data in channel training`, from `sys.exit` with a text."""
    last = next((line for line in reversed(lines) if line.strip() and not NOISE.match(line)), "")
    return "" if LOGGED.match(last) or TENSORFLOW_INFO.match(last) else last.strip()


def is_secondary(text: str) -> bool:
    """Whether the headline of a failure report suggests that another process, or a stop, caused it."""
    return bool(SECONDARY.search(HANDLED.sub("", text.split("\n\n", 1)[0])))


def explain_status(status: int) -> str:
    """The meaning of an exit status for people, such as `was killed by SIGKILL (often: out of memory)`."""
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


def ends_in_traceback(output: str) -> bool:
    """Whether an output ends with an exception, apart from a line or two of libraries."""
    with contextlib.suppress(Exception):  # see describe_child
        return _final(output)[1]
    return False


def _compose(headline: str, *details: str) -> str:
    """`headline`, then as much of the ends of `details` as fits into FailureReason, then the whole of them."""
    headline = _shorten(headline, HEADLINE_LENGTH)
    details = tuple(detail for detail in details if detail)
    room = REASON_LENGTH - len(headline) - 2 * len(details)
    if sum(map(len, details)) <= room:
        return "\n\n".join([headline, *details]).strip()
    tails = []
    for left, detail in zip(range(len(details), 0, -1), sorted(details, key=len), strict=True):
        share = room // left
        tails.append((detail, detail if len(detail) <= share else "..." + detail[-(share - 3) :]))
        room -= len(tails[-1][1])
    ends = [dict(tails)[detail] for detail in details]
    return "\n\n".join([headline, *ends, "--- in full ---", *details])


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def report(path: Path, error: BaseException) -> int:
    """Reports the exception that ended a job to the log and the platform, and returns the exit status."""
    write_failure(path, describe(error))
    if not isinstance(error, JobError | JobStopped):
        with contextlib.suppress(Exception):  # stderr may be closed, or the exception cannot be shown
            print(tracebacks.formatted(error), end="", file=sys.stderr)
    return STOPPED_STATUS if isinstance(error, JobStopped) else 1


def write_failure(path: Path, text: str) -> None:
    """Writes `text` to the failure file. A full disk must not hide the reason."""
    log.error("failed: %s", text.split("\n\n", 1)[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_with_room(path, text + "\n")
    except OSError as error:
        log.error("could not write the failure file %s: %s", path, error)
