"""Lines out of what a child writes in pieces."""

from __future__ import annotations

from container.output import LONGEST_LINE, Lines


def test_lines_are_whole() -> None:
    lines = Lines()
    assert [list(lines.feed(data)) for data in (b"a\nb", b"c", b"\n\nd\xff", b"", b"")] == [
        ["a"],
        [],
        ["bc"],
        ["d\N{REPLACEMENT CHARACTER}"],
        [],
    ]


def test_of_an_endless_line_the_end_is_kept() -> None:
    lines = Lines()
    for _ in range(100):
        assert list(lines.feed(b"x" * 1000)) == []
    (line,) = lines.feed(b"end\n")
    assert line.endswith("xend")
    assert len(line) < LONGEST_LINE + 1000
