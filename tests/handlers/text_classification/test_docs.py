"""docs/text_classification.md: the commands of "Try it" as they stand there, and its table of hyperparameters."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from tests.support.processes import free_port

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/text_classification.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_hyperparameter_is_in_the_table() -> None:
    table = section("Hyperparameters").partition("\n\n### ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cell))}
    assert named == {field.name for field in dataclasses.fields(Hyperparameters)}


@pytest.mark.slow
def test_the_commands_of_try_it(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    script = textwrap.dedent("\n".join(re.findall(r"^(?: {4}.*|)$", section("Try it"), re.MULTILINE)))
    port = str(free_port())
    script = script.replace("localhost:8080", f"localhost:{port}").replace("kill %1", "kill %1; wait")
    path = f'export PATH="{Path(sys.prefix, "bin")}:$PATH"'
    done = subprocess.run(
        ["/bin/bash", "-e", "-c", f"{path} SAGEMAKER_BIND_TO_PORT={port} MODEL_SERVER_WORKERS=1\n{script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert '[{"label":"joy","score":0.' in done.stdout, done.stdout + done.stderr
