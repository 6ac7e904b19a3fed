"""Finds out whether a program uses ParameterServerStrategy.

It reads the syntax trees of the program and of the modules that it imports from its own code, so that neither a comment
nor a file that is never imported counts.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from byo_container.training.program_files import own_modules

STRATEGIES = frozenset({"ParameterServerStrategy", "ParameterServerStrategyV2"})


@dataclass(frozen=True)
class Reference:
    path: Path
    line: int


def find_parameter_server(program: Path, code: Path) -> Reference | None:
    """The first reference to the strategy in `program` or in a module below `code` that it imports, directly or
    indirectly."""
    for path, tree in own_modules(program, code):
        if line := _line_of_reference(tree):
            return Reference(path, line)
    return None


def _line_of_reference(tree: ast.AST) -> int:
    """The line where a module uses the strategy, under whatever name it imports it; 0 where it does not."""
    nodes = list(ast.walk(tree))
    names = STRATEGIES | {
        alias.asname
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in STRATEGIES and alias.asname
    }
    lines = [
        node.lineno
        for node in nodes
        if (isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.Attribute) and node.attr in STRATEGIES and isinstance(node.ctx, ast.Load))
    ]
    return min(lines, default=0)
