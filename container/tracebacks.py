"""What a traceback says: the exception, its place in the user's code, its causes, and the members of a group.

Of an exception of this process we have the object; of another program only what it has written, which may be a
traceback of any Python (the margins of a group are those of 3.11 and later, PEP 654), with other output around it.
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
# Frames of the standard library, of packages and of ours: where an error came up, and seldom where it was made.
HOME = re.escape(str(Path(__file__).parent.parent))
LIBRARY = re.compile(rf"site-packages|dist-packages|/lib/python3[^/]*/|<frozen |{HOME}/(container|training)/")
OVERWRITTEN = re.compile(r"\r|[\b]+")  # which progress bars begin their line anew by
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Python 3.13 and later, where FORCE_COLOR is set
# Which PyTorch, or mpirun --tag-output, puts before each line of a traceback.
RANK_MARK = re.compile(r"^(\[rank\d+\]: ?|\[\d+,\d+\]<std(err|out)>:)")
# A progress bar leaves its line open, and the traceback goes on there: "1/2 [00:01<?, ?it/s]Traceback (most …".
STARTS = re.compile(r"(?:^|[^\w\s])(?=Traceback \(most recent call last\):$)")
FRAME = re.compile(r" +(File \".*\", line \d+(, in .*)?)$")
END = re.compile(r" +\+-{20,}$")
UNSEEN = re.compile(r"and (\d+) more exceptions?$")
# What stands before the traceback of an exception that does not end the program.
ASIDE = re.compile(
    r"Exception in thread |Exception ignored |Error in atexit|--- Logging error ---|Process \S+:$|"
    r"(Task|Future) exception was never retrieved|future: "
)


WIDEST_MARGIN = 60  # of groups in groups: Python itself goes no deeper than ten
DEEPEST = 50  # of causes of causes: a retry may make hundreds of them
MOST_MEMBERS = 2000  # of all groups together, are told of
MOST_FORMATTED = 20_000  # which Python's traceback module does in a second


@dataclass(frozen=True)
class Raised:
    """An exception. `text` is its type and message, with its notes; `place` the last frame in the user's code."""

    text: str
    place: str = ""
    cause: Raised | None = None
    link: str = ""
    """How it came of its cause: one of LINKS."""
    members: tuple[Raised, ...] = ()
    unseen: int = 0
    """How many more members a group has, which Python left out of its traceback."""

    def with_message(self, lines: Sequence[str], depth: int = 0) -> Raised:
        """The same, with further lines of its message. A traceback in them, such as of a process that loads data, is
        that of the cause; so is one in the cause's message, DEEPEST of them at most: `depth` counts them."""
        whole = [*self.text.splitlines(), *lines]
        at = next((number for number, line in enumerate(whole) if line.endswith(HEADER)), len(whole))
        found = (
            in_output("\n".join([HEADER, *whole[at + 1 :]]))
            if at < len(whole) and not self.cause and depth < DEEPEST
            else []
        )
        if found:
            cause = found[-1].raised.with_message(found[-1].after, depth + 1)
            return replace(self, text=_squeeze(whole[:at]), cause=cause, link=LINKS[CAUSE])
        return replace(self, text=_squeeze(whole))

    def leaves(self) -> Iterator[Raised]:
        """The members of a group and of the groups in it; the exception itself where it is none."""
        if not self.members:
            yield self
        for member in self.members:
            yield from member.leaves()

    def count_leaves(self) -> int:
        return self.unseen + (sum(member.count_leaves() for member in self.members) or 1)


@dataclass(frozen=True)
class Printed:
    """A traceback in a program's output. `lines` begin with it and go on to the next one or to the end."""

    raised: Raised
    lines: Sequence[str]
    after: Sequence[str]
    """Those of `lines` that follow the exception's first line: more of its message, or other output."""
    aside: bool = False
    """Whether Python said that it goes on all the same, as after one in a thread."""


def from_exception(error: BaseException) -> Raised:
    """What is to be said of an exception. A chain that ends in itself is followed once, and what is a member of
    several groups is told as one of the first."""
    return _follow(error, (), set())


def _follow(error: BaseException, above: tuple[int, ...], members_seen: set[int]) -> Raised:
    """The same for one to which the exceptions `above`, by their ids, have led. `members_seen` gets its members."""
    lines = _said(error).splitlines()
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
    told = _follow(cause, above, members_seen) if cause and id(cause) not in above else None
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
    return Raised("", place, told, link, tuple(members), unseen).with_message(lines)


def _members_of(error: BaseException) -> Sequence[BaseException]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _said(error: BaseException) -> str:
    """The type and message, with the notes; for which Python looks at all causes and members too."""
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
    """The traceback as Python prints it; without causes and members where those are too many or too deep for it."""
    if _is_followable(error, MOST_FORMATTED):
        return "".join(traceback.format_exception(error))
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{HEADER}\n{frames}{_said(error)}\n"


def _is_followable(error: BaseException, most: int) -> bool:
    """Whether Python's traceback module comes to an end within `most` exceptions: it takes each path to a member that
    groups share, and calls itself for each group in a group."""
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
    """The tracebacks in what a program has written, a chain of exceptions as one."""
    return list(_scan(_fold(clean(output).splitlines())))


def clean(output: str) -> str:
    """The output without colours, marks of ranks, and what a progress bar has before a traceback in its line."""
    lines = OVERWRITTEN.sub("\n", COLOUR.sub("", output)).split("\n")
    lines = [RANK_MARK.sub("", line) for line in lines]
    return "\n".join(part for line in lines for part in STARTS.sub("\n", line).lstrip("\n").split("\n"))


Item = str | list[str]
"""A line, or the lines of the members of the group before it."""


def _fold(lines: Sequence[str], margin: str = "") -> list[Item]:
    """The lines of one exception or chain, without the margin that a group puts before those of its members. Outside
    of any group there is no margin but the group's own. Some Pythons put it before the first line of a message only."""
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
        if _link(items, at):  # from an exception that was never raised, and has no traceback
            raised, end, after = _read_chain(items, at, Raised(before))
        elif _begins(items, at) or (at < 8 and FRAME.match(str(item))):  # whose header may have been cut off
            raised, end, after = _read_chain(items, at)
        else:
            before = item if isinstance(item, str) and item.strip() else before
            at += 1
            continue
        yield Printed(raised, _unfold(items[at:end]), after, bool(ASIDE.match(before)))
        at, before = end, next((line for line in reversed(after) if line.strip()), "")


def _begins(items: Sequence[Item], at: int) -> bool:
    """Whether a traceback begins here, with its header or, for a program that Python could not read, without one."""
    if items[at] in (HEADER, GROUP_HEADER):
        return True
    if not FRAME.match(str(items[at])):
        return False
    rest = (item for item in items[at:] if not (isinstance(item, str) and item.startswith(" ")))
    return bool(re.match(r"(SyntaxError|IndentationError|TabError)\b", str(next(rest, ""))))


def _read_chain(items: Sequence[Item], at: int, first: Raised | None = None) -> tuple[Raised, int, list[str]]:
    """The chain that begins here, with or behind its first exception; where it ends, and what follows the first line
    of its last one."""
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
    """One exception: its header, its frames, its own lines, and the members of a group."""
    if at < len(items) and items[at] in (HEADER, GROUP_HEADER):
        at += 1
    frames = []
    while at < len(items) and isinstance(item := items[at], str) and item.startswith(" "):
        frames += [frame[1]] if (frame := FRAME.match(item)) else []
        at += 1
    said, at = _read_lines(items, at)
    members: list[str] = []
    if at < len(items) and isinstance(item := items[at], list):
        members = item
        after, at = _read_lines(items, at + 1)
        said = [_squeeze(said), *after]
    own = [place for place in frames if not LIBRARY.search(place)] or frames
    found = [_member(chunk) for chunk in _chunks(members)]
    unseen = sum(int(more[1]) for raised in found if (more := UNSEEN.match(raised.text)))
    named = tuple(raised for raised in found if raised.text and not UNSEEN.match(raised.text))
    return Raised(said[0] if said else "", own[-1] if own else "", members=named, unseen=unseen), at, said[1:]


def _read_lines(items: Sequence[Item], at: int) -> tuple[list[str], int]:
    """The lines from here to the next exception, link or members, and where they end."""
    lines: list[str] = []
    while at < len(items) and isinstance(item := items[at], str) and not (_link(items, at) or _begins(items, at)):
        lines.append(item)
        at += 1
    return lines, at


def _chunks(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines of each member of a group. Their separators stand two columns behind the first one."""
    first = next((number for number, line in enumerate(lines) if line.lstrip().startswith("+-+-")), len(lines))
    if first == len(lines):  # torn
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
    """The text without empty lines, and without the quotes in which multiprocessing puts a remote traceback."""
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines() if line.strip() not in ("", '"""'))
