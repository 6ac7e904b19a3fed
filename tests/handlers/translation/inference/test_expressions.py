"""Which texts of a checkpoint may reach fairseq's `eval`."""

from __future__ import annotations

import pytest

from byo_container.handlers.translation.inference import expressions


@pytest.mark.parametrize(
    "text",
    [
        "[(256, 3)] * 4",
        "[(512, 3)] * 9 + [(1024, 3)] * 4 + [(2048, 1)] * 2",
        "3 * [(256, 3)]",
        "[3, 7, 15, 31]",
        "(0.9, 0.98)",
        "-1",
        "16384 * 4",
        "True",
        "{}",
        '{"beam": 4, "lenpen": 0.6, "x": null}',
        "relu",
        "de-en,en-de",
        "checkpoint_last.pt",
        "data-bin/wmt.en-de",
        "",
        "https://example.org/x y",
        "label smoothed",
        "(" * 1000,
        "a\0b",
        "\ud800",
    ],
)
def test_settings_of_fairseq_are_allowed(text: str) -> None:
    expressions.check(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('id')",
        "[].append(1)",
        "lambda: 1",
        "[x for x in (1, 2)]",
        "(x := 1)",
        "f'{x}'",
        "9 ** 9 ** 9",
        "1 << 9999999999",
        "x[0]",
        "[*x]",
        "{**x}",
        "[f(1)].x",
        "-f(1)",
        "a-f(1)",
        "{f(1): 1}",
        "{1: f(1)}",
        "'%09999999999d' % 1",
        "~f(1)",
        "a if f(1) else b",
        "f(1) or a",
        "1 < f(1)",
        "{f(1)}",
    ],
)
def test_expressions_that_run_code_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="would be run as code"):
        expressions.check(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[0] * 99999999999", "more than 10000 elements"),
        ("99999999999 * [0]", "more than 10000 elements"),
        ("'x' * 99999999999", "more than 10000 elements"),
        ("[[0] * 9999] * 9999", "more than 10000 elements"),
        ("[0] * 9999 + [0] * 9999", "more than 10000 elements"),
        ("[0] * (99999 * 99999)", "more than 10000 elements"),
        ("[0] * 101 * 101", "more than 10000 elements"),
        ("[()] * 10001", "more than 10000 elements"),
        ("[0] * x", "multiplies a list by what is no whole number"),
        ("[0] * (1 + 99999999999)", "multiplies a list by what is no whole number"),
    ],
)
def test_expressions_that_fill_the_memory_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        expressions.check(text)


def test_deeply_nested_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        expressions.check("1" + "+1" * 5000)
