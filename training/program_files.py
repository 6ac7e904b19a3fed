"""Reads the syntax trees of a program and of the modules that it imports from its own code."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path


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


def own_modules(program: Path, code: Path) -> Iterator[tuple[Path, ast.Module]]:
    """The program, and the modules below `code` that it imports, directly or indirectly. A file that cannot be parsed
    is left out: Python will report its error."""
    queue, seen = [program], {program}
    while queue:
        path = queue.pop(0)
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        yield path, tree
        for imported in _imported_files(tree, path, [program.parent, code]):
            if imported not in seen:
                seen.add(imported)
                queue.append(imported)


def packages_imported(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, anywhere in it."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names = [alias.name for node in imports for alias in node.names] + [node.module or "" for node in froms]
    return {name.partition(".")[0] for name in names}


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
