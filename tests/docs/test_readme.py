"""README.md and examples/: the ten lines are run as they stand there, and the handler that is an example."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from byo_container.testing import Endpoint, train
from tests.support.processes import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_ten_lines(tmp_path: Path) -> None:
    section = README.partition("## A model of your own in ten lines")[2].partition("\n## ")[0]
    script = textwrap.dedent("\n".join(re.findall(r"^(?: {4}.*|)$", section, re.MULTILINE)))
    port = str(free_port())
    script = script.replace("localhost:8080", f"localhost:{port}").replace("kill %1", "kill %1; wait")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(
        ["/bin/bash", "-e", "-c", f"export SAGEMAKER_BIND_TO_PORT={port} MODEL_SERVER_WORKERS=1\n{script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert '{"result":"HELLO!"}' in done.stdout, done.stdout + done.stderr


def test_it_stays_short() -> None:
    assert README.count("\n") <= 150


def test_the_example_of_an_own_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples/own_handler"))
    handler_class = importlib.import_module("shout").Shout
    model_dir = train(handler_class, tmp_path, channels={"training": {"a.txt": "oh!!", "b.txt": "no!"}})
    with Endpoint(handler_class, model_dir) as endpoint:
        assert endpoint.json("hello").value == {"result": "HELLO!!"}
    del sys.modules["shout"]
