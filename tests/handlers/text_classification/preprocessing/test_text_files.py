"""Text files of every kind, whole and broken."""

from __future__ import annotations

import re

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing import text_files
from byo_container.handlers.text_classification.preprocessing.text_files import Table


def read(ending: str, content: str | bytes) -> Table:
    encoded = content if isinstance(content, bytes) else content.encode()
    return text_files.READERS[ending](text_files.decode(encoded, "f"), "f")


@pytest.mark.parametrize(
    ("ending", "content", "rows", "lines"),
    [
        (".txt", "a; b;joy\n\nc;fear \r\n", [("a; b", "joy"), ("c", "fear")], [1, 3]),
        (".txt", "one\u2028line;joy", [("one\u2028line", "joy")], [1]),
        (".txt", '{"text": "a", "label": 1}\n', [("a", 1)], [1]),
        (".txt", "text;label\na;1\nb;2\n", [("a", "1"), ("b", "2")], [2, 3]),
        (".csv", "text,label\ra,joy\rb,fear\r", [("a", "joy"), ("b", "fear")], [2, 3]),
        (".txt", "a\rb;joy\nc;fear", [("a\rb", "joy"), ("c", "fear")], [1, 2]),
        (".csv", 'text,label\n"a, ""b""\nc",joy\nd,fear\n', [('a, "b"\nc', "joy"), ("d", "fear")], [2, 4]),
        (".csv", "Text;LABEL\na, b;joy\n", [("a, b", "joy")], [2]),
        (".csv", "a,joy\nb,joy\nc,fear\n", [("a", "joy"), ("b", "joy"), ("c", "fear")], [1, 2, 3]),
        (".csv", "1,a\n0,b\n1,c\n", [("a", "1"), ("b", "0"), ("c", "1")], [1, 2, 3]),
        (".csv", b"\xef\xbb\xbftext,label\na,joy\n", [("a", "joy")], [2]),
        (".tsv", 'text\tlabel\nsay "a\tjoy\n', [('say "a', "joy")], [2]),
        (".tsv", 'text\tlabel\n"a\tb"\tjoy\n', [("a\tb", "joy")], [2]),
        (".jsonl", '{"text": "a", "label": "x"}\n\n{"label": "y", "text": "b"}', [("a", "x"), ("b", "y")], [1, 3]),
        (".json", '[{"text": "a", "label": 2},\n {"text": "b", "label": 3}]', [("a", 2), ("b", 3)], [1, 2]),
        (".csv", f"text,label\n{'x' * 300_000},joy\n", [("x" * 300_000, "joy")], [2]),
    ],
)
def test_rows_and_lines(ending: str, content: str | bytes, rows: list[tuple[str, object]], lines: list[int]) -> None:
    table = read(ending, content)
    found = {name.lower(): values for name, values in table.columns.items()}
    assert list(zip(found["text"], found["label"], strict=True)) == rows
    assert table.lines == lines


@pytest.mark.parametrize(
    ("ending", "content", "message"),
    [
        (".txt", "a;joy\nno label here\n", "f, line 2: 'no label here' has no semicolon; it should be text;label"),
        (".txt", b"a;joy\nb\xe9;joy\n", "f, line 2: byte e9 is not UTF-8"),
        (".txt", "  \n", "f is empty"),
        (".csv", "text,label\n", "a header and no row"),
        (
            ".csv",
            "text,label\na, b,joy\n",
            "f, line 2: it has 3 columns and the header has 2 (text, label); a text with",
        ),
        (".csv", 'text,label\na,joy\n"b,joy\n', "f, line 3: unexpected end of data"),
        (".csv", "a,b,joy\n", "f, line 1: it has 3 columns; without a header"),
        (".csv", "words,feeling\na,joy\nb,fear\nc,joy\nd,fear\n", "'words', 'feeling' looks like a header"),
        (".jsonl", '{"text": "a"}\n{"text": \n', "f, line 2 is not JSON"),
        (".jsonl", '["a", "b"]', "element 1: it should be an object"),
        (".jsonl", '{"text": "a"}\n3\n', "f, line 2 is not an object"),
        (".jsonl", '{"a": ' + "[" * 50_000, "f, line 1 is not JSON: maximum recursion depth"),
        (".json", "[1", "f is not JSON"),
    ],
)
def test_broken_files_are_explained(ending: str, content: str | bytes, message: str) -> None:
    with pytest.raises(JobError, match=re.escape(message)):
        read(ending, content)
