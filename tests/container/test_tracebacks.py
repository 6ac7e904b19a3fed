"""Tracebacks are read alike from an exception and from the text that Python makes of it."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.tracebacks import HEADER, MOST_MEMBERS, Raised, formatted, from_exception, in_output


def plain() -> None:
    raise ValueError("torn")


def many_lines() -> None:
    error = ValueError("one\n\n  two: three\nfour")
    error.add_note("a note\nof two lines")
    raise error


def caused() -> None:
    try:
        dict[str, int]()["a"]
    except KeyError as error:
        raise ValueError("no column a") from error


def caused_by_one_that_nobody_raised() -> None:
    raise ValueError("no column a") from KeyError("a")


def while_handling() -> None:
    try:
        caused()
    except ValueError:
        plain()


def group() -> None:
    members: list[Exception] = [TypeError("one\ntwo"), ExceptionGroup("inner", [OSError(28, "full"), KeyError("b")])]
    for function in (plain, caused, while_handling):
        try:
            function()
        except ValueError as error:
            members.append(error)
    raise ExceptionGroup("several", members)


def group_of_a_group() -> None:
    try:
        group()
    except ExceptionGroup as error:
        error.add_note("noted")
        raise ExceptionGroup("outer", [error, ValueError("beside it")]) from KeyError("a")


def caused_by_a_group() -> None:
    try:
        group_of_a_group()
    except ExceptionGroup as error:
        raise RuntimeError("no epoch") from error


def no_python() -> None:
    compile("x = (", "mine.py", "exec")


def nothing_to_say() -> None:
    raise AssertionError


SHAPES: list[Callable[[], None]] = [
    plain,
    many_lines,
    caused,
    caused_by_one_that_nobody_raised,
    while_handling,
    group,
    group_of_a_group,
    caused_by_a_group,
    no_python,
    nothing_to_say,
]


def without_places(raised: Raised) -> Raised:
    """The two write them differently."""
    cause = without_places(raised.cause) if raised.cause else None
    return replace(raised, place="", cause=cause, members=tuple(map(without_places, raised.members)))


def caught(function: Callable[[], None]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize("function", SHAPES)
def test_printed_traceback_gives_the_same_as_the_exception_object(function: Callable[[], None]) -> None:
    error = caught(function)
    (printed,) = in_output("epoch 1\n" + "".join(traceback.format_exception(error)))
    raised = printed.raised.with_message(printed.after)
    assert without_places(raised) == without_places(from_exception(error))


@pytest.mark.parametrize("function", SHAPES)
@pytest.mark.parametrize("mark", ["[rank3]: ", "[1,0]<stderr>:", "\x1b[1;35m"])
def test_line_prefixes_are_removed(function: Callable[[], None], mark: str) -> None:
    text = "".join(traceback.format_exception(caught(function)))
    marked = "".join(f"{mark}{line}\n" for line in text.splitlines())
    assert in_output(marked) == in_output(text)


def test_chain_has_links_and_places() -> None:
    raised = from_exception(caught(while_handling))
    assert (raised.text, raised.link) == ("ValueError: torn", "while handling")
    assert raised.cause
    assert (raised.cause.text, raised.cause.link) == ("ValueError: no column a", "caused by")
    assert raised.cause.cause
    assert raised.cause.cause.place.endswith(f"{__file__}, line {caused.__code__.co_firstlineno + 2}, caused")


def test_leaves_of_nested_groups() -> None:
    raised = from_exception(caught(group_of_a_group))
    texts = [leaf.text.splitlines()[0] for leaf in raised.leaves()]
    assert texts == [
        "TypeError: one",
        "OSError: [Errno 28] full",
        "KeyError: 'b'",
        "ValueError: torn",
        "ValueError: no column a",
        "ValueError: torn",
        "ValueError: beside it",
    ]
    assert raised.count_leaves() == 7


def test_members_that_python_omits_are_counted() -> None:
    def many() -> None:
        raise ExceptionGroup("many", [ValueError(number) for number in range(40)])

    (printed,) = in_output("".join(traceback.format_exception(caught(many))))
    assert len(printed.raised.members) == 15
    assert printed.raised.count_leaves() == 40


def test_long_chain_is_cut() -> None:
    error: Exception = ValueError("first")
    for number in range(2000):
        error, cause = ValueError(number), error
        error.__context__ = cause
    raised = from_exception(error)
    assert raised.text == "ValueError: 1999"


def test_cyclic_cause_is_followed_once() -> None:
    error, other = ValueError("one"), ValueError("other")
    error.__cause__, other.__cause__ = other, error
    raised = from_exception(error)
    assert raised.cause
    assert raised.cause.cause is None


def shared(levels: int) -> ExceptionGroup[ExceptionGroup[ValueError]]:
    """Groups of which each has the one before it twice: 2 ** levels paths lead to the one error."""
    found: ExceptionGroup[Any] = ExceptionGroup("leaf", [ValueError("torn")])
    for number in range(levels):
        found = ExceptionGroup(f"g{number}", [found, found])
    return found


@pytest.mark.parametrize("levels", [3, 26, 40])
def test_shared_member_is_listed_once(levels: int) -> None:
    twice = ExceptionGroup("two", [shared(levels), shared(levels)])
    for error, count in ((shared(levels), 1), (twice, 2)):
        raised = from_exception(error)
        assert [leaf.text for leaf in raised.leaves()] == ["ValueError: torn"] * count
        assert raised.count_leaves() == count
    cause = shared(levels)
    beside = KeyError("a")
    beside.__cause__ = cause
    described = from_exception(beside).cause
    assert described
    assert described.count_leaves() == 1


def test_cause_may_also_be_a_member() -> None:
    cause = KeyError("a")
    error = ExceptionGroup("both", [cause, ValueError("b")])
    error.__cause__ = cause
    raised = from_exception(error)
    assert raised.cause
    assert [raised.cause.text, *(member.text for member in raised.members)] == ["KeyError: 'a'"] * 2 + ["ValueError: b"]


def test_deeply_nested_groups_are_cut() -> None:
    wide = from_exception(ExceptionGroup("wide", [ValueError(number) for number in range(10_000)]))
    assert (len(wide.members), wide.count_leaves()) == (MOST_MEMBERS, 10_000)
    deep: Exception = ValueError("torn")
    for number in range(900):
        deep = ExceptionGroup(f"g{number}", [deep])
    assert from_exception(deep).count_leaves() == 1


@pytest.mark.parametrize("function", SHAPES)
def test_traceback_is_formatted_as_by_python(function: Callable[[], None]) -> None:
    error = caught(function)
    assert formatted(error) == "".join(traceback.format_exception(error))


def test_traceback_that_is_too_large_for_python_has_no_members() -> None:
    def raises() -> None:
        raise shared(26)

    text = formatted(caught(raises))
    assert text.startswith(HEADER)
    assert "in raises" in text
    assert text.endswith("ExceptionGroup: g25 (2 sub-exceptions)\n")
    (printed,) = in_output(text)
    assert printed.raised.text == "ExceptionGroup: g25 (2 sub-exceptions)"


def test_tracebacks_in_messages_are_read_up_to_a_depth() -> None:
    text = f'{HEADER}\n  File "t.py", line 1, in f\nValueError: x\n' + f"a {HEADER}\n" * 1400
    (printed,) = in_output(text)
    assert printed.raised.with_message(printed.after).text == "ValueError: x"


def test_traceback_after_a_progress_bar_in_the_same_line() -> None:
    text = "\r  0%|          | 0/9 [00:00<?, ?it/s]\r 11%|#         | 1/9 [00:01<00:08,  1.0it/s]"
    text += "".join(traceback.format_exception(caught(plain)))
    (printed,) = in_output(text)
    assert printed.raised.text == "ValueError: torn"


# What Python 3.13 writes with FORCE_COLOR, and 3.14 of a thread's exception.
COLOURED = """\
Traceback (most recent call last):
  File \x1b[35m"t.py"\x1b[0m, line \x1b[35m3\x1b[0m, in \x1b[35m<module>\x1b[0m
    \x1b[31mf\x1b[0m\x1b[1;31m()\x1b[0m
    \x1b[31m~\x1b[0m\x1b[1;31m^^\x1b[0m
\x1b[1;35mValueError\x1b[0m: \x1b[35mtorn\x1b[0m
"""
WORKER = """\
Traceback (most recent call last):
  File "t.py", line 30, in <module>
    for batch in loader:
RuntimeError: Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/torch/utils/data/_utils/worker.py", line 302, in _worker_loop
    data = fetcher.fetch(index)
  File "t.py", line 9, in __getitem__
    raise ValueError("torn")
ValueError: torn
"""


def test_colours_are_removed() -> None:
    (printed,) = in_output(COLOURED)
    assert printed.raised == Raised("ValueError: torn", 'File "t.py", line 3, in <module>')


def test_traceback_in_a_message_is_the_cause() -> None:
    (printed,) = in_output(WORKER)
    of_text = printed.raised.with_message(printed.after)
    of_object = from_exception(RuntimeError(WORKER.partition("RuntimeError: ")[2]))
    for raised in (of_text, of_object):
        assert raised.text == "RuntimeError: Caught ValueError in DataLoader worker process 0."
        assert raised.cause == Raised("ValueError: torn", 'File "t.py", line 9, in __getitem__')


def test_traceback_without_its_header_is_read() -> None:
    text = "".join(traceback.format_exception(caught(plain))).partition("\n")[2]
    for cut in (0, 10):
        (printed,) = in_output(text[cut:])
        assert printed.raised.text == "ValueError: torn"
        assert printed.raised.place.endswith("in plain")


POOL = """
import multiprocessing
def work(number):
    raise ValueError(f"torn {number}")
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map(work, [7])
"""
THREAD = """
import threading
def work():
    raise ValueError("torn")
thread = threading.Thread(target=work)
thread.start()
thread.join()
raise KeyError("a")
"""


def written(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr


def test_traceback_of_another_process_is_the_cause() -> None:
    (printed,) = in_output(written(POOL))
    assert printed.raised.text == "ValueError: torn 7"
    assert printed.raised.cause
    assert printed.raised.cause.text == "ValueError: torn 7"
    assert printed.raised.cause.place == 'File "<string>", line 4, in work'


def test_traceback_of_a_thread_is_aside() -> None:
    of_thread, of_program = in_output(written(THREAD))
    assert (of_thread.raised.text, of_thread.aside) == ("ValueError: torn", True)
    assert (of_program.raised.text, of_program.aside) == ("KeyError: 'a'", False)


def test_group_printed_by_the_interpreter() -> None:
    """Which before Python 3.13 leaves the margin out where a message has several lines."""
    code = "raise ExceptionGroup('g', [ValueError('one\\ntwo'), ExceptionGroup('h', [OSError(1, 'x')])])"
    (printed,) = in_output(written(code) + "[W1121 20:55:01 x.cpp:1] closing\n")
    assert printed.raised.text == "ExceptionGroup: g (2 sub-exceptions)"
    assert [leaf.text for leaf in printed.raised.leaves()] == ["ValueError: one\ntwo", "PermissionError: [Errno 1] x"]
    assert printed.after == ["[W1121 20:55:01 x.cpp:1] closing"]


PIECES = [
    "Traceback (most recent call last):",
    "  + Exception Group Traceback (most recent call last):",
    "Exception Group Traceback (most recent call last):",
    '  File "t.py", line 1, in f',
    '  |   File "t.py", line 1, in f',
    "  | ExceptionGroup: g (2 sub-exceptions)",
    "  +-+---------------- 1 ----------------",
    "    +---------------- 2 ----------------",
    "    | ValueError: torn",
    "    | Exception Group Traceback (most recent call last):",
    "    +-+---------------- 1 ----------------",
    "      | KeyError: 'a'",
    "      +------------------------------------",
    "    +------------------------------------",
    "    | and 12 more exceptions",
    "ValueError: torn",
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
    "Exception in thread Thread-1:",
    "SyntaxError: torn",
    "  |",
    "",
    "epoch 1",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_mutated_tracebacks_raise_no_error(lines: list[str]) -> None:
    for printed in in_output("\n".join(lines)):
        raised = printed.raised.with_message(printed.after)
        assert raised.count_leaves() >= len(list(raised.leaves())) > 0


def test_endlessly_nested_groups_raise_no_error() -> None:
    text = "  + Exception Group Traceback (most recent call last):\n"
    text += "".join(f"{' ' * depth}| ExceptionGroup: g\n{' ' * depth}+-+---- 1 ----\n" for depth in range(2, 350, 2))
    assert in_output(text)[0].raised.text == "ExceptionGroup: g"
