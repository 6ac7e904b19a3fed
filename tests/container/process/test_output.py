"""What a child writes in pieces: its lines, and how it is passed on."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.process.output import LONGEST_LINE, TAIL_BYTES, Lines, Output


def test_lines_are_whole() -> None:
    lines = Lines()
    pieces = (b"a\nb", b"c", b"\n\nd\xff", b"", b"")
    assert [lines.feed(data) for data in pieces] == [b"a\n", b"", b"bc\n\n", b"d\xff", b""]


@given(st.lists(st.binary(min_size=1, max_size=20)))
def test_lines_lose_no_byte(pieces: list[bytes]) -> None:
    lines = Lines()
    assert b"".join(lines.feed(data) for data in [*pieces, b""]) == b"".join(pieces)


def test_end_of_an_endless_line_is_kept() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 1000) == b""
    line = lines.feed(b"end\n")
    assert line.endswith(b"xend\n")
    assert len(line) < LONGEST_LINE + 1000


@contextlib.contextmanager
def child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def copy_all(output: Output) -> None:
    readable = select.poll()
    readable.register(output.stream, select.POLLIN)
    while readable.poll(20_000) and output.copy():
        pass


def test_on_line_gets_decoded_lines() -> None:
    heard: list[str] = []
    with child(r"import os; os.write(1, b'one\n\ntw'); os.write(1, b'o\xff\nthree')") as process:
        assert process.stdout
        copy_all(Output(process.stdout, copy_to=-1, on_line=heard.append))
    assert heard == ["one", "two\N{REPLACEMENT CHARACTER}", "three"]


@pytest.mark.parametrize("whole_lines", [False, True])
def test_slow_reader_gets_everything_in_order(whole_lines: bool) -> None:
    sent = b"".join(b"line %d %s\n" % (number, b"." * (number % 97)) for number in range(40_000)) + b"half"
    code = "import sys; sys.stdout.write(''.join(f'line {n} {\".\" * (n % 97)}\\n' for n in range(40_000)) + 'half')"
    read_end, write_end = os.pipe()
    got, watched, waited = bytearray(), bytearray(), []
    begin = threading.Event()

    def read_slowly() -> None:
        begin.wait(20)
        while data := os.read(read_end, 5000):
            got.extend(data)

    def blocked() -> bool:
        waited.append(True)
        begin.set()
        return True

    reader = threading.Thread(target=read_slowly)
    reader.start()
    with child(code) as process:
        assert process.stdout
        output = Output(process.stdout, write_end, watch=watched.extend, whole_lines=whole_lines)
        output.while_blocked = blocked
        copy_all(output)
    os.close(write_end)
    reader.join(20)
    os.close(read_end)
    assert bytes(got) == bytes(watched) == sent
    assert bytes(output.tail) == sent[-TAIL_BYTES:]
    assert waited, "while nobody reads, others are attended to"


def test_reader_that_is_given_up_does_not_block() -> None:
    sent = b"x" * 999 + b"\n"
    read_end, write_end = os.pipe()
    with child(f"import os; [os.write(1, {sent!r}) for _ in range(2000)]; os.write(1, b'end')") as process:
        assert process.stdout
        output = Output(process.stdout, write_end)
        output.while_blocked = lambda: False
        copy_all(output)
    os.close(write_end)
    assert os.read(read_end, 1000) == sent
    os.close(read_end)
    assert output.tail.endswith(b"\nend")


def test_whole_lines_are_written_in_atomic_pieces() -> None:
    """Only writes of up to PIPE_BUF bytes stay in one piece beside those of other ranks."""
    read_end, write_end = os.pipe2(os.O_DIRECT)  # each read gets what one write wrote
    with child("import os; os.write(1, b''.join(b'%d%s\\n' % (n, b'x' * 999) for n in range(20)))") as process:
        assert process.stdout
        copy_all(Output(process.stdout, write_end, whole_lines=True))
    os.close(write_end)
    pieces = list(iter(lambda: os.read(read_end, 1 << 20), b""))
    os.close(read_end)
    assert b"".join(pieces).count(b"\n") == 20
    assert all(piece.endswith(b"\n") and len(piece) <= select.PIPE_BUF for piece in pieces)


def test_closed_reader_does_not_stop_the_child() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with child("print('x' * 500_000)") as process:
        assert process.stdout
        output = Output(process.stdout, write_end)
        copy_all(output)
        assert process.wait(20) == 0
    os.close(write_end)
    assert len(output.tail) == TAIL_BYTES


def test_half_a_line_is_passed_on_at_once(tmp_path: Path) -> None:
    target = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with child("import os, time; os.write(1, b'50%'); time.sleep(60)") as process:
        assert process.stdout
        output = Output(process.stdout, target)
        assert select.select([process.stdout], [], [], 20)[0]
        assert output.copy()
        assert (tmp_path / "log").read_bytes() == b"50%"
    os.close(target)
