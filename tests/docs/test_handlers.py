"""docs/handlers.md: each handler in it is loaded, and each request in it gets the answer that stands there."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.discovery import HandlerReference
from byo_container.serving.errors import RequestError
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.servable import Request
from byo_container.serving.settings import Settings
from tests.serving.support.engine import engine_for
from tests.serving.support.handlers.newcomers import LinearModel, pipeline

TEXT = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<asked>.*?)```", re.DOTALL)
EXAMPLES = {re.findall(r"^class (\w+)", block["code"], re.MULTILINE)[-1]: block for block in BLOCK.finditer(TEXT)}
REQUEST = re.compile(r"> (?P<kind>[^:,]+)(?:, Accept (?P<accept>\S+))?: (?P<body>.*)\n< (?P<answer>.*)")
MODELS: dict[str, Any] = {"Iris": LinearModel(), "Classifier": pipeline}


def test_no_snippet_is_left_out() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") == TEXT.count("```text") == 4


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_handler_answers_as_the_page_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ending.txt").write_text("!")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(MODELS.get(name)))
    (tmp_path / f"page_{name}.py").write_text(EXAMPLES[name]["code"])
    monkeypatch.syspath_prepend(tmp_path)
    model = HandlerModel(HandlerReference(f"page_{name}:{name}", "the page"), tmp_path, Settings())
    model.load()
    asked = list(REQUEST.finditer(EXAMPLES[name]["asked"]))
    assert len(asked) == EXAMPLES[name]["asked"].count("> ")
    for request in asked:
        body = request["body"].replace("\\n", "\n").encode()
        found = answer(model, Request(body, request["kind"], request["accept"] or "", lambda header: ""))
        assert found == request["answer"].replace("\\n", "\n")


def answer(model: HandlerModel, request: Request) -> str:
    try:
        return model.respond(request, engine_for(model)).body.decode()
    except RequestError as error:
        return f"{error.status} {error.message}"
