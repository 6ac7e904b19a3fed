"""The public API, `from byo_container import …`: complete, typed, and free of charge until it is used."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
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


TYPED = """
from dataclasses import dataclass
from pathlib import Path
from byo_container import Checkpoints, Handler, RequestContext, TrainingJob

class Mine(Handler):
    @dataclass(frozen=True)
    class Hyperparameters:
        epochs: int = 3

    batched = True
    batch_size = 8
    execution_parameters = {"MaxPayloadInMB": 6}

    def train(self, job: TrainingJob[Hyperparameters]) -> None:
        epochs: int = job.hyperparameters.epochs
        Checkpoints(job.checkpoint_dir, ".txt").save(epochs, lambda path: path.write_text("whole"))

    def load(self, model_dir: Path) -> str:
        return model_dir.name

    def predict_with_context(self, model: str, inputs: list[str], contexts: list[RequestContext]) -> list[str]:
        return [text + model + context.inference_id for text, context in zip(inputs, contexts)]

    def cost(self, text: str) -> float:
        return len(text)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("", "", "Success: no issues found"),
        ("batched = True", 'batched = "yes"', "Incompatible types in assignment"),
        (
            "-> float:\n        return len(text)",
            "-> str:\n        return text",
            'Return type "str" of "cost" incompatible',
        ),
        ("def load(self, model_dir: Path)", "def load(self)", 'Signature of "load" incompatible with supertype'),
        ("epochs: int = job", "epochs: str = job", "Incompatible types in assignment"),
        ("context.inference_id", "context.inference", '"RequestContext" has no attribute "inference"'),
    ],
)
def test_mypy_checks_a_handler(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(TYPED.replace(right, wrong) if right else TYPED)
    cache = Path(tempfile.gettempdir()) / "byo-container-test-mypy"
    options = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={cache}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, path],
        env={**os.environ, "MYPYPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert message in done.stdout, done.stdout + done.stderr
