"""Finds out whether a program uses ParameterServerStrategy.

It reads the syntax trees of the program and of the modules that it imports from its own code, so that neither a comment
nor a file that is never imported counts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STRATEGIES = frozenset({"ParameterServerStrategy", "ParameterServerStrategyV2"})


@dataclass(frozen=True)
class Reference:
    path: Path
    line: int


def find_parameter_server(program: Path, code: Path) -> Reference | None:
    """The first reference to the strategy in `program` or in a module below `code` that it imports, directly or
    indirectly. A file that cannot be parsed has none: Python will report its error."""
    queue, seen = [program], {program}
    while queue:
        path = queue.pop(0)
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        line = _line_of_reference(tree)
        if line:
            return Reference(path, line)
        for imported in _imported_files(tree, path, [program.parent, code]):
            if imported not in seen:
                seen.add(imported)
                queue.append(imported)
    return None


def program_of(arguments: Sequence[str], code: Path) -> Path:
    """The file that `python ARGUMENTS` runs in `code`, for `train.py …` or `-m package.train …`."""
    if arguments[0] != "-m":
        return code / arguments[0]
    parts = arguments[1].split(".")
    for root in (code, code / "src"):
        for path in (root.joinpath(*parts, "__main__.py"), root.joinpath(*parts).with_suffix(".py")):
            if path.is_file():
                return path
    return code / f"{parts[-1]}.py"


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


def _imported_files(tree: ast.AST, path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """The files of the modules that the module at `path` imports, where they lie below one of `roots`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of_module(roots, alias.name)
        elif isinstance(node, ast.ImportFrom):
            folders = [path.parents[node.level - 1]] if node.level else roots
            for alias in node.names:
                yield from _files_of_module(folders, ".".join(filter(None, (node.module, alias.name))))


def _files_of_module(roots: Sequence[Path], name: str) -> Iterator[Path]:
    """The files that `import a.b.c` executes: those of a, a.b and a.b.c, as far as these are modules."""
    parts = name.split(".")
    for root in roots:
        for length in range(1, len(parts) + 1):
            module = root.joinpath(*parts[:length])
            for path in (module / "__init__.py", module.with_suffix(".py")):
                if path.is_file():
                    yield path.resolve()
