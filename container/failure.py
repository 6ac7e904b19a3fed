"""What a failed run tells the platform: exit status, output/failure, and a line in the log.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-signal-success-failure.html
The first 1,024 characters of the file become FailureReason, so the most useful ones come first.
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
MESSAGE_LENGTH = 400  # of an exception: behind it there must be room for where it happened
FURTHER_LENGTH = 160  # of its causes, and of the members of a group
MOST_MEMBERS = 6
STOPPED_STATUS = 128 + signal.SIGTERM
PYTHON_STATUS = 1  # with which Python ends after an exception that nobody caught
# How long a process may live on after the exception that ends it: threads and exit handlers come to their end.
LINGERS_S = 30.0
EXITS_S = 5.0  # the same for one that has caught it, and ends by a status of its own choice
# Which a message may have behind its first, but for indented ones: so many surely, and so many perhaps.
SURE_MESSAGE_LINES, MOST_MESSAGE_LINES = 8, 40
MOST_OTHER_LINES = 4  # which others may log after it
LATE_LINES = 20
# What libraries, and Python, have to say after an exception.
NOISE = re.compile(
    r"wandb: |\[?[IWEF]\d{4} |terminate called|ERROR conda\.cli|Aborted|Segmentation fault|" + tracebacks.ASIDE.pattern
)
REMARK = re.compile(r"\[?[IW]\d{4} ")  # of TensorFlow's, at the levels INFO and WARNING
LOGGED = re.compile(r"\[?\d{4}-\d\d-\d\d|\[?\d\d:\d\d|\[?(DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL)\b|\S+: \w*Warning: ")
ERROR = re.compile(
    r"\b(ERROR|CRITICAL|FATAL)\b|^(fatal |[\w.]+: )?(error|fatal|([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception))\b"
)
FATAL = ("Fatal Python error", "ssh: ")  # before the stacks of all threads, and before mpirun's page of guesses
FULL = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]")
SHARED_MEMORY = re.compile(r"/dev/shm|</?torch_")  # noqa: S108, which we do not use, but find in a message
# By which torchrun, accelerate and others tell that a program which they started has failed.
OF_ANOTHER = re.compile(r"([a-z_]+\.)*(ChildFailedError|CalledProcessError|ProcessExitedException)\b")
# Whose partner in a collective has gone fails too, and often says so first. So does one that was told to end.
CONSEQUENCE = re.compile(
    r"connection (was )?(closed|reset|refused|aborted|lost|timed out)|broken ?pipe|remote process exited|nccl|"
    r"distnetworkerror|diststoreerror|socket (was )?(closed|time)|unavailableerror|abortederror|cancellederror|"
    r"collective.*time|by SIGTERM|before it had finished|(torchrun|mpirun) \S+ (ended|was)",
    re.IGNORECASE,
)
# What an exception says of one that was handled when it came up, of which it need not be a consequence.
HANDLED = re.compile(rf"^{tracebacks.LINKS[tracebacks.CONTEXT]} .*(\n  .*)*", re.MULTILINE)


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
    try:
        trace = tracebacks.formatted(error).strip()
        return _compose(_headline(tracebacks.from_exception(error), HEADLINE_LENGTH), trace)
    except Exception as fault:  # an exception that cannot be told of in full was raised all the same
        return f"{type(error).__qualname__}; its message and traceback cannot be shown: {type(fault).__qualname__}"


def _headline(raised: Raised, length: int) -> str:
    """An exception, the members of a group, and the causes, as far as there is room."""
    lines = _one(raised, MESSAGE_LENGTH)
    for more in [*_members(raised), *_causes(raised)]:
        if sum(len(line) + 1 for line in [*lines, *more]) > length:
            break
        lines += more
    return _shorten("\n".join(lines), length)


def _one(raised: Raised, length: int) -> list[str]:
    said = explain_full(_shorten(raised.text, length))
    return [said, f"  in {raised.place}"] if raised.place else [said]


def explain_full(said: str) -> str:
    """What was said of an error, with what to do where a disk is full."""
    if not FULL.search(said):
        return said
    if SHARED_MEMORY.search(said):
        return f"the shared memory /dev/shm is full: {said}; have fewer workers load data, or `docker run --shm-size`"
    return f"the disk is full: {said}; free some space or ask for a larger volume"


def _members(raised: Raised) -> Iterator[list[str]]:
    if not raised.members:
        return
    leaves = list(raised.leaves())[:MOST_MEMBERS]
    for leaf in leaves:
        yield ["  - " + ", ".join(line.strip() for line in _one(leaf, FURTHER_LENGTH))]
    if more := raised.count_leaves() - len(leaves):
        yield [f"  - and {more} more"]


def _causes(raised: Raised) -> Iterator[list[str]]:
    """The nearest causes and the first one, each with how the exception after it came of it."""
    chain = []
    while raised.cause:
        chain.append((raised.link, raised.cause))
        raised = raised.cause
    for number, (link, cause) in enumerate(chain):
        if number < 2 or cause is chain[-1][1]:
            first, *place = _one(cause, FURTHER_LENGTH)
            yield [f"{link} {first}", *place]
            yield from _members(cause)
        elif number == 2:
            yield [f"caused by {len(chain) - 3} more"]


@dataclass(frozen=True)
class Written:
    """The end of what a process has written to one of its streams, and how long it lived after that."""

    text: str
    lived_on_s: float = 0.0
    recent: str | None = None
    """What came of `text` after the last long pause; None where nobody looked at the time."""

    def has_news(self) -> bool:
        """Whether what came after the last pause is something else than the end of a traceback."""
        return (
            self.recent is not None
            and len(self.recent) < len(self.text)
            and not tracebacks.in_output(self.recent)
            and _count(self.recent.splitlines()) > 0
        )


def describe_child(name: str, status: int, stderr: Written | str, stdout: Written | str = "", died: str = "") -> str:
    """The same for a process of which only its exit status and the end of its output are known.

    An exception ended it where a traceback is the last that it wrote. `status` is a shell's: 128 + N for a process that
    signal N killed. Such a one died of the signal, whatever traceback it printed before. `died` is what to say of
    the status where that is known better.
    """
    died = f"{name} {died or explain_status(status)}"
    streams = [Written(each) if isinstance(each, str) else each for each in (stderr, stdout)]
    try:
        return _account(status, streams, died)
    except Exception as fault:  # an output made to be misread, say; that the process failed is still to be told
        log.warning("the output of %s cannot be searched for a traceback: %s", name, type(fault).__qualname__)
        errors, output = (each.text.strip() for each in streams)
        return _compose(died, output, errors)


def _account(status: int, streams: Sequence[Written], died: str) -> str:
    """`died`, what ended the process by the end of its stderr and stdout, and that end."""
    errors, output = (tracebacks.clean(each.text) for each in streams)
    late = _late_error(errors, output)
    if last := _last_raised(status, streams):
        printed, exactly = last
        kind = printed.raised.text.partition(":")[0].rpartition(".")[2]
        if exactly and (not late or kind in late):
            raised = _headline(_whole(printed), max(HEADLINE_LENGTH - len(died) - 1, 200))
            return _compose(f"{raised}\n{died}", "\n".join(printed.lines).strip())
        if not late and _count(printed.after) <= SURE_MESSAGE_LINES:
            late = _last_words(printed.after)
        told = f"{died}: {_shorten(late, FURTHER_LENGTH)}" if late else died
        told = f"{told}\nits last traceback: {_headline(printed.raised, MESSAGE_LENGTH)}"
        return _compose(told, output.strip()[-MESSAGE_LENGTH:] if late else "", errors.strip())
    late = late or _vague_error(errors)
    if not (late or _signal_of(status) or tracebacks.in_output(errors)):
        late = _shorten(_last_words(errors.splitlines()), MESSAGE_LENGTH)
    late = explain_full(late)
    return _compose(f"{died}: {late}" if late else died, output.strip(), errors.strip())


def _last_raised(status: int, streams: Sequence[Written]) -> tuple[Printed, bool] | None:
    """The traceback at the end of stderr, else of stdout, and whether it is what ended the process; or else only the
    last that it printed, such as of a thread."""
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
    """The traceback that an output ends in, and whether it surely does. One of a thread, or of a program that fails or
    says so because another has failed, counts where there is no other right before it."""
    otherwise: tuple[Printed | None, bool] = None, False
    exactly = True
    for printed in reversed(tracebacks.in_output(output)):
        text = printed.raised.text
        message, others = _split(printed.after)
        length = 0 if OF_ANOTHER.match(text) else _count(message)  # torchrun's has a table
        if length > MOST_MESSAGE_LINES or _count(others) > MOST_OTHER_LINES:
            break
        exactly &= length <= SURE_MESSAGE_LINES and not any(
            ERROR.search(line) and not NOISE.match(line) for line in others
        )
        if not (printed.aside or OF_ANOTHER.match(text) or CONSEQUENCE.search(text)):
            return printed, exactly
        if not otherwise[0]:
            otherwise = printed, exactly and not printed.aside
    return otherwise


def _split(after: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What follows the first line of an exception, where its message ends and other output begins."""
    for number, line in enumerate(after):
        if LOGGED.match(line) or NOISE.match(line):
            return after[:number], after[number:]
    return after, []


def _count(lines: Sequence[str]) -> int:
    """How many are neither empty, nor indented, nor noise."""
    return sum(1 for line in lines if line.strip() and not line[0].isspace() and not NOISE.match(line))


def _whole(printed: Printed) -> Raised:
    """The exception with all of its message."""
    message, _ = _split(printed.after)
    return printed.raised.with_message(message)


def _late_error(errors: str, output: str) -> str:
    """`ERROR: no such package`, from a program that says what is wrong without a traceback, or after one."""
    since = _since_traceback(errors)
    lines = [*_since_traceback(output)[-3:], *since[-LATE_LINES:]]
    said = [line.strip() for line in lines if (ERROR.search(line) or FULL.search(line)) and not NOISE.match(line)]
    fatal = [line for line in since if line.startswith(FATAL)]
    return next(reversed(said or fatal), "")


def _since_traceback(output: str) -> Sequence[str]:
    found = tracebacks.in_output(output)
    return _split(found[-1].after)[1] if found else output.splitlines()


def _vague_error(errors: str) -> str:
    last = errors.splitlines()[-LATE_LINES:]
    lines = [line.strip() for line in last if re.search(r"error", line, re.IGNORECASE) and not REMARK.match(line)]
    return lines[-1] if lines and not tracebacks.in_output(errors) else ""


def _last_words(lines: Sequence[str]) -> str:
    """The last line, where it is no line of a log: `no data in channel training`, of `sys.exit` with a text."""
    last = next((line for line in reversed(lines) if line.strip() and not NOISE.match(line)), "")
    return "" if LOGGED.match(last) or REMARK.match(last) else last.strip()


def is_consequence(text: str) -> bool:
    """Whether a failure's headline sounds as if it had its cause in another process, or in a stop."""
    return bool(CONSEQUENCE.search(HANDLED.sub("", text.split("\n\n", 1)[0])))


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


def ends_in_traceback(output: str) -> bool:
    """Whether an exception was the last that a process had to say, but for a line or two of its libraries."""
    with contextlib.suppress(Exception):  # see describe_child
        return _final(output)[1]
    return False


def _compose(headline: str, *details: str) -> str:
    """`headline`, then as much of the ends of `details` as FailureReason holds, then all of them."""
    headline = _shorten(headline, HEADLINE_LENGTH)
    given = [detail for detail in details if detail]
    room = REASON_LENGTH - len(headline) - 2 * len(given)
    if sum(map(len, given)) <= room:
        return "\n\n".join([headline, *given]).strip()
    tails = []
    for left, detail in zip(range(len(given), 0, -1), sorted(given, key=len), strict=True):
        share = room // left
        tails.append((detail, detail if len(detail) <= share else "..." + detail[-(share - 3) :]))
        room -= len(tails[-1][1])
    ends = [dict(tails)[detail] for detail in given]
    return "\n\n".join([headline, *ends, "--- in full ---", *given])


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def report(path: Path, error: BaseException) -> int:
    """Tells log and platform of the exception that ended a job, and returns the exit status."""
    write_failure(path, describe(error))
    if not isinstance(error, JobError | JobStopped):
        with contextlib.suppress(Exception):  # nobody reads our output, or it cannot be shown
            print(tracebacks.formatted(error), end="", file=sys.stderr)
    return STOPPED_STATUS if isinstance(error, JobStopped) else 1


def write_failure(path: Path, text: str) -> None:
    """Leaves `text` where the platform looks for it. A disk that is full too must not hide the reason."""
    log.error("failed: %s", text.split("\n\n", 1)[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_with_room(path, text + "\n")
    except OSError as error:
        log.error("could not write the failure file %s: %s", path, error)
