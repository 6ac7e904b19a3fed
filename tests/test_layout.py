"""How the tests are laid out: helpers live in support modules, so that a test can be moved without breaking others."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(path for folder in (TESTS, TESTS.parent / "benchmarks") for path in folder.rglob("*.py"))
TEST_OR_CONFTEST = re.compile(r"(^|\.)(conftest|test_\w+)$")


def imported_modules(code: str) -> list[str]:
    """Every module that `code` may import, names imported from a package included."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def imported_from_tests(code: str) -> list[str]:
    return [name for name in imported_modules(code) if name.startswith("tests.") and TEST_OR_CONFTEST.search(name)]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from tests.serving.conftest import start", ["tests.serving.conftest"]),
        ("def f():\n    from tests.serving import test_app", ["tests.serving.test_app"]),
        ("import tests.serving.test_app", ["tests.serving.test_app"]),
        ("from tests.serving.support.server import Server", []),
        ("from pytest import test_x", []),
    ],
)
def test_imports_from_tests_are_noticed(code: str, found: list[str]) -> None:
    assert imported_from_tests(code) == found


def test_nothing_is_imported_from_a_conftest_or_a_test() -> None:
    found = {str(path.relative_to(TESTS.parent)): imported_from_tests(path.read_text()) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
