"""Reads tracebacks: the exception, its place in the user's code, its causes, and the members of a group.

An exception of this process is an object. Of another program there is only the output, which may be a traceback of any
Python version (the margins of a group are those of 3.11 and later, PEP 654), with other output around it.
Format: https://docs.python.org/3/library/traceback.html
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

HEADER = "Traceback (most recent call last):"
GROUP_HEADER = "Exception Group " + HEADER
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"
LINKS = {CAUSE: "caused by", CONTEXT: "while handling"}
# Frames of the standard library, of installed packages and of byo-container: errors are raised there, but are seldom
# caused there.
HOME = re.escape(str(Path(__file__).parent.parent))
LIBRARY = re.compile(rf"site-packages|dist-packages|/lib/python3[^/]*/|<frozen |{HOME}/(container|training)/")
OVERWRITTEN = re.compile(r"\r|[\b]+")  # by which progress bars start their line again
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Python 3.13 and later, where FORCE_COLOR is set
# The prefix that PyTorch, or mpirun --tag-output, adds to each line of a traceback.
RANK_PREFIX = re.compile(r"^(\[rank\d+\]: ?|\[\d+,\d+\]<std(err|out)>:)")
# The open line of a progress bar, which a traceback continues: "1/2 [00:01<?, ?it/s]Traceback (most …".
STARTS = re.compile(r"(?:^|[^\w\s])(?=Traceback \(most recent call last\):$)")
FRAME = re.compile(r" +(File \".*\", line \d+(, in .*)?)$")
END = re.compile(r" +\+-{20,}$")
UNSEEN = re.compile(r"and (\d+) more exceptions?$")
# The line before the traceback of an exception that does not end the program.
ASIDE = re.compile(
    r"Exception in thread |Exception ignored |Error in atexit|--- Logging error ---|Process \S+:$|"
    r"(Task|Future) exception was never retrieved|future: "
)


WIDEST_MARGIN = 60  # of groups in groups: Python itself prints ten levels
DEEPEST = 50  # of causes of causes: a loop that retries may make hundreds of them
MOST_MEMBERS = 2000  # of all groups together
MOST_FORMATTED = 20_000  # exceptions, which Python's traceback module formats in a second


@dataclass(frozen=True)
class Raised:
    """An exception: `text` is its type and message with its notes, `place` the last frame in the user's code."""

    text: str
    place: str = ""
    cause: Raised | None = None
    link: str = ""
    """How the cause led to it: one of LINKS."""
    members: tuple[Raised, ...] = ()
    unseen: int = 0
    """How many more members the group has, which Python left out of the traceback."""

    def with_message(self, lines: Sequence[str], depth: int = 0) -> Raised:
        """The exception with further lines of its message. A traceback in them, such as that of a process that loads
        data, is the cause; so is one in the cause's message, up to DEEPEST levels, which `depth` counts."""
        whole = [*self.text.splitlines(), *lines]
        at = next((number for number, line in enumerate(whole) if line.endswith(HEADER)), len(whole))
        printed = (
            in_output("\n".join([HEADER, *whole[at + 1 :]]))
            if at < len(whole) and not self.cause and depth < DEEPEST
            else []
        )
        if printed:
            cause = printed[-1].raised.with_message(printed[-1].after, depth + 1)
            return replace(self, text=_squeeze(whole[:at]), cause=cause, link=LINKS[CAUSE])
        return replace(self, text=_squeeze(whole))

    def leaves(self) -> Iterator[Raised]:
        """The members of a group and of the groups in it; the exception itself if it is no group."""
        if not self.members:
            yield self
        for member in self.members:
            yield from member.leaves()

    def count_leaves(self) -> int:
        return self.unseen + (sum(member.count_leaves() for member in self.members) or 1)


@dataclass(frozen=True)
class Printed:
    """A traceback in a program's output. `lines` begin with it and end before the next one, or at the end."""

    raised: Raised
    lines: Sequence[str]
    after: Sequence[str]
    """The part of `lines` after the exception's first line: more of its message, or other output."""
    aside: bool = False
    """Whether the program goes on after it, as after an exception in a thread."""


def from_exception(error: BaseException) -> Raised:
    """Describes an exception object. A chain that leads back to itself is followed once; a member of several groups is
    listed in the first."""
    return _follow(error, (), set())


def _follow(error: BaseException, above: tuple[int, ...], members_seen: set[int]) -> Raised:
    """The same for an exception below those `above`, given by their ids. Its members are added to `members_seen`."""
    lines = _message_of(error).splitlines()
    while len(lines) > 1 and lines[0].startswith(" "):  # of a SyntaxError: file, line and text
        del lines[0]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not LIBRARY.search(frame.filename)] or frames
    place = f"{own[-1].filename}, line {own[-1].lineno}, {own[-1].name}" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
    above = (*above, id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    cause = cause if len(above) <= DEEPEST else None
    raised_cause = _follow(cause, above, members_seen) if cause and id(cause) not in above else None
    members, unseen = [], 0
    for member in _members_of(error) if len(above) <= DEEPEST else ():
        if id(member) in above or id(member) in members_seen:
            continue
        if len(members_seen) >= MOST_MEMBERS:
            unseen += 1
        else:
            members_seen.add(id(member))
            members.append(_follow(member, above, members_seen))
    link = LINKS[CAUSE if error.__cause__ else CONTEXT] if cause else ""
    return Raised("", place, raised_cause, link, tuple(members), unseen).with_message(lines)


def _members_of(error: BaseException) -> Sequence[BaseException]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _message_of(error: BaseException) -> str:
    """The type and message with the notes. Python's own function visits all causes and members for it."""
    if not isinstance(error, BaseExceptionGroup) and _is_followable(error, DEEPEST):
        return "".join(traceback.format_exception_only(error))
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        return "\n".join([f"{name}: {error}", *map(str, getattr(error, "__notes__", None) or ())])
    except Exception:  # of the user's own __str__
        return name


def formatted(error: BaseException) -> str:
    """The traceback as Python prints it, without causes and members where these are too many or too deep for it."""
    if _is_followable(error, MOST_FORMATTED):
        return "".join(traceback.format_exception(error))
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{HEADER}\n{frames}{_message_of(error)}\n"


def _is_followable(error: BaseException, most: int) -> bool:
    """Whether Python's traceback module visits `most` exceptions at most: it follows each path to a member that several
    groups share, and recurses for each group in a group."""
    waiting, count, causes = [(error, 0)], 0, {id(error)}
    while waiting:
        each, depth = waiting.pop()
        count += 1
        if count > most or depth > DEEPEST:
            return False
        waiting += [(member, depth + 1) for member in _members_of(each)]
        for cause in (each.__cause__, each.__context__):
            if cause and id(cause) not in causes:
                causes.add(id(cause))
                waiting.append((cause, depth))
    return True


def in_output(output: str) -> list[Printed]:
    """The tracebacks in a program's output. A chain of exceptions is one."""
    return list(_scan(_fold(clean(output).splitlines())))


def clean(output: str) -> str:
    """The output without colours, prefixes of ranks, and the text of a progress bar before a traceback."""
    lines = OVERWRITTEN.sub("\n", COLOUR.sub("", output)).split("\n")
    lines = [RANK_PREFIX.sub("", line) for line in lines]
    return "\n".join(part for line in lines for part in STARTS.sub("\n", line).lstrip("\n").split("\n"))


Item = str | list[str]
"""A line, or the lines of the members of the group before it."""


def _fold(lines: Sequence[str], margin: str = "") -> list[Item]:
    """Removes the margin that a group puts before its lines, and gathers the lines of its members in a list. Outside
    of any group only a group's own lines have a margin. Some Python versions print it only before the first line of a
    message."""
    items: list[Item] = []
    whole, margin = not margin, margin or "  "
    of_members = re.compile(rf"{margin}(\+-| +[|+])")
    in_group = not whole
    for line in lines:
        if whole and line == f"{margin}+ {GROUP_HEADER}":
            items.append(GROUP_HEADER)
            in_group = True
            continue
        if whole and in_group and items and isinstance(items[-1], list) and END.match(items[-1][-1]):
            in_group = line.startswith(f"{margin}|") or bool(of_members.match(line))
        if in_group and line.startswith(f"{margin}|"):
            items.append(line.removeprefix(f"{margin}|").removeprefix(" "))
        elif in_group and items and isinstance(items[-1], list):
            items[-1].append(line)
        elif in_group and of_members.match(line):
            items.append([line])
        else:
            items.append(line)
    return items


def _scan(items: Sequence[Item]) -> Iterator[Printed]:
    at, before = 0, ""
    while at < len(items):
        item = items[at]
        if _link(items, at):  # to an exception that was never raised, and so has no traceback
            raised, end, after = _read_chain(items, at, Raised(before))
        elif _begins(items, at) or (at < 8 and FRAME.match(str(item))):  # its header may have been cut off
            raised, end, after = _read_chain(items, at)
        else:
            before = item if isinstance(item, str) and item.strip() else before
            at += 1
            continue
        yield Printed(raised, _unfold(items[at:end]), after, bool(ASIDE.match(before)))
        at, before = end, next((line for line in reversed(after) if line.strip()), "")


def _begins(items: Sequence[Item], at: int) -> bool:
    """Whether a traceback begins here: with its header, or without one for a program that Python could not parse."""
    if items[at] in (HEADER, GROUP_HEADER):
        return True
    if not FRAME.match(str(items[at])):
        return False
    rest = (item for item in items[at:] if not (isinstance(item, str) and item.startswith(" ")))
    return bool(re.match(r"(SyntaxError|IndentationError|TabError)\b", str(next(rest, ""))))


def _read_chain(items: Sequence[Item], at: int, first: Raised | None = None) -> tuple[Raised, int, list[str]]:
    """Reads the chain that begins here with, or after, its first exception. Returns it, where it ends, and the lines
    after the first one of its last exception."""
    raised, at, after = (first, at, []) if first else _read(items, at)
    while link := _link(items, at):
        cause = raised.with_message(after)
        at += 1
        while at < len(items) and not items[at]:
            at += 1
        raised, at, after = _read(items, at)
        raised = replace(raised, cause=cause, link=link)
    return raised, at, after


def _link(items: Sequence[Item], at: int) -> str:
    item = items[at] if at < len(items) else ""
    return LINKS.get(item, "") if isinstance(item, str) else ""


def _read(items: Sequence[Item], at: int) -> tuple[Raised, int, list[str]]:
    """Reads one exception: its header, its frames, its message, and the members of a group."""
    if at < len(items) and items[at] in (HEADER, GROUP_HEADER):
        at += 1
    frames = []
    while at < len(items) and isinstance(item := items[at], str) and item.startswith(" "):
        frames += [frame[1]] if (frame := FRAME.match(item)) else []
        at += 1
    message, at = _read_lines(items, at)
    members: list[str] = []
    if at < len(items) and isinstance(item := items[at], list):
        members = item
        after, at = _read_lines(items, at + 1)
        message = [_squeeze(message), *after]
    own = [place for place in frames if not LIBRARY.search(place)] or frames
    raised = [_member(chunk) for chunk in _chunks(members)]
    unseen = sum(int(more[1]) for each in raised if (more := UNSEEN.match(each.text)))
    named = tuple(each for each in raised if each.text and not UNSEEN.match(each.text))
    return Raised(message[0] if message else "", own[-1] if own else "", members=named, unseen=unseen), at, message[1:]


def _read_lines(items: Sequence[Item], at: int) -> tuple[list[str], int]:
    """Reads the lines up to the next exception, link or members. Returns them and where they end."""
    lines: list[str] = []
    while at < len(items) and isinstance(item := items[at], str) and not (_link(items, at) or _begins(items, at)):
        lines.append(item)
        at += 1
    return lines, at


def _chunks(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines of each member of a group. The separators are indented two columns more than the first one."""
    first = next((number for number, line in enumerate(lines) if line.lstrip().startswith("+-+-")), len(lines))
    if first == len(lines):  # it was cut off
        return
    separator = re.compile(rf" {{{lines[first].index('+') + 2}}}\+--")
    chunk: list[str] = []
    for line in lines[first + 1 :]:
        if separator.match(line):
            yield chunk
            chunk = []
        else:
            chunk.append(line)
    if chunk:
        yield chunk


def _member(lines: list[str]) -> Raised:
    if not lines or lines[0].startswith(" " * WIDEST_MARGIN):
        return Raised("")
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    raised, _, after = _read_chain(_fold(lines, margin), 0)
    return raised.with_message(after)


def _unfold(items: Sequence[Item]) -> list[str]:
    return [line for item in items for line in ([item] if isinstance(item, str) else item)]


def _squeeze(lines: Sequence[str]) -> str:
    """The text without empty lines and without the quotes around a remote traceback of multiprocessing."""
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines() if line.strip() not in ("", '"""'))
