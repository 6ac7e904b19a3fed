"""The public API, `from byo_container import …`: complete, typed, and free of charge until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import byo_container


@pytest.mark.parametrize("name", byo_container.__all__)
def test_a_public_name_is_the_thing_itself(name: str) -> None:
    found = getattr(byo_container, name)
    assert found.__name__ == name
    assert found.__module__ == byo_container._MODULES[name], "defined elsewhere: a reader would not find it"
    assert found.__doc__
    assert name in dir(byo_container)


def test_the_three_lists_of_names_agree() -> None:
    """For type checkers, for `import *`, and for the look-up."""
    tree = ast.parse(Path(byo_container.__file__).read_text())
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.asname or alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == byo_container._MODULES
    assert byo_container.__all__ == sorted(imported)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'byo_container' has no attribute 'Handlers'"):
        byo_container.Handlers  # noqa: B018


def test_the_package_imports_nothing_before_a_name_is_used() -> None:
    code = (
        "import sys, byo_container; print([name for name in sys.modules if name.startswith('byo_container.')]);"
        "from byo_container import InputError; print('byo_container.container.handler' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True"]
