"""docs/handlers.md: every handler, training and test on it is run, and every request gets the answer that it shows."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import byo_container
from byo_container import Handler, JobError, JobStopped
from byo_container.container import discovery
from byo_container.testing import Answer, Endpoint, payloads, train
from tests.serving.support.handlers.conventional import LinearModel, pipeline

PAGE = Path(__file__).parents[2] / "docs" / "handlers.md"
TEXT = PAGE.read_text()
CODE = re.compile(r"```python\n(?P<code>.*?)```(?:\n\n```text\n(?P<requests>.*?)```)?", re.DOTALL)
BLOCKS = [(block["code"], block["requests"]) for block in CODE.finditer(TEXT)]


def last_class(code: str) -> str:
    return str(re.findall(r"^class (\w+)", code, re.MULTILINE)[-1])


TESTS = [code for code, _ in BLOCKS if "\ndef test_" in code]
HANDLERS = {last_class(code): (code, requests) for code, requests in BLOCKS if code not in TESTS}
REQUEST = re.compile(r"> (?P<kind>[^:,]+)(?P<headers>(?:, \S+ [^:,]+)*):(?: (?P<body>.*))?\n(?P<answers>(?:<.*\n)+)")
HEADER = re.compile(r", (\S+) ([^:,]+)")
MODELS: dict[str, Any] = {"Iris": LinearModel(), "Classifier": pipeline}
ROWS = "1,1,3\n2,0,4\n0,3,3\n1,2,4\n"  # y = 2 x1 + x2


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a snippet imports is forgotten. The checkout, which has a folder `container`, is not on the path."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not Path(entry, "container").is_dir()])
    yield
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("container", "handlers") or name.startswith("page_"):
            del sys.modules[name]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handler class of that name from the page."""

    def load(name: str) -> Any:
        (tmp_path / f"page_{name}.py").write_text(HANDLERS[name][0])
        discovery.put_on_path([tmp_path])
        return getattr(importlib.import_module(f"page_{name}"), name)

    return load


def test_no_snippet_is_left_out() -> None:
    trained = {"Counting", "Resuming"}
    assert len(HANDLERS) + len(TESTS) == TEXT.count("```python")
    assert {name for name, (_, requests) in HANDLERS.items() if not requests} == trained
    assert len([requests for _, requests in BLOCKS if requests]) == TEXT.count("```text")
    assert len(TESTS) == 2


@pytest.mark.parametrize("name", [name for name, (_, requests) in HANDLERS.items() if requests])
def test_a_handler_answers_as_the_page_says(name: str, tmp_path: Path, load: Any) -> None:
    handler_class = load(name)
    model_dir = tmp_path
    if issubclass(handler_class, Handler) and handler_class.train is not Handler.train:
        model_dir = train(handler_class, tmp_path, channels={"training": {"rows.csv": ROWS}})
    (model_dir / "ending.txt").write_text("!")
    (model_dir / "model.pkl").write_bytes(pickle.dumps(MODELS.get(name)))
    requests = list(REQUEST.finditer(HANDLERS[name][1]))
    assert len(requests) == len(re.findall("^> ", HANDLERS[name][1], re.MULTILINE))
    with Endpoint(handler_class, model_dir) as endpoint:
        conversation = endpoint.conversation()
        for request in requests:
            body = (request["body"] or "").replace("\\n", "\n")
            answers = [line.replace("\\n", "\n") for line in request["answers"].splitlines()]
            if request["kind"] == "WebSocket":
                assert [f"< {answer!s}" for answer in conversation.send(body)] == answers
            else:
                headers = dict(HEADER.findall(request["headers"]))
                sent = payloads.raw(body.encode(), request["kind"])
                assert_is(endpoint.send(sent, headers=headers), answers)


def assert_is(answer: Answer, lines: list[str]) -> None:
    """An answer is what the page shows of it: its body or its error, and perhaps some of its headers."""
    shown = f"{answer.status} {answer.error}" if answer.error else answer.text
    assert f"< {shown}" == lines[0]
    for line in lines[1:]:
        name, value = line.removeprefix("<< ").split(": ")
        assert answer.headers[name] == value


def test_the_figures_of_batch_transform(tmp_path: Path, load: Any) -> None:
    with Endpoint(load("Slow"), tmp_path) as endpoint:
        assert endpoint.execution_parameters() == load("Slow").execution_parameters


def test_the_hyperparameters_are_checked_as_the_page_says(tmp_path: Path, load: Any) -> None:
    (message,) = re.findall(r"^    …/(hyperparameters\.json: .*)", TEXT, re.MULTILINE)
    channels = {"training": {"rows.csv": ROWS}}
    with pytest.raises(JobError) as refused:
        train(load("Line"), tmp_path, hyperparameters={"epoch": 3}, channels=channels)
    assert str(refused.value).endswith(message)
    model_dir = train(load("Line"), tmp_path, hyperparameters={"loss": "absolute", "epochs": 1}, channels=channels)
    assert np.load(model_dir / "weights.npy") == pytest.approx([0.1, 0.15])


def test_progress(tmp_path: Path, load: Any, capsys: pytest.CaptureFixture[str]) -> None:
    train(load("Counting"), tmp_path, channels={"training": {"a": "one two", "b": ""}})
    assert "counting: 2 files in" in capsys.readouterr().out


def test_a_training_that_is_stopped_resumes(tmp_path: Path, load: Any) -> None:
    handler_class: Any = load("Resuming")
    calls = []

    class Stopped(handler_class):  # type: ignore[misc]
        def train_epoch(self, weights: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().train_epoch(weights)

    with pytest.raises(JobStopped, match="after epoch 2 of 5"):
        train(Stopped, tmp_path)
    assert np.load(tmp_path / "model/weights.npy").tolist() == [2, 2, 2]
    model_dir = train(Stopped, tmp_path)
    assert len(calls) == 5
    assert np.load(model_dir / "weights.npy").tolist() == [5, 5, 5]


@pytest.mark.parametrize("number", range(len(TESTS)))
def test_the_tests_on_the_page_pass(number: int, tmp_path: Path) -> None:
    path = tmp_path / f"test_page_{number}.py"
    path.write_text(TESTS[number])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TESTS[number].count('def test_')} passed" in done.stdout


def table_below(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    part = TEXT.partition(f"\n### {heading}\n")[2]
    rows = re.findall(r"^\|(.*)\|$", part[: part.index("\n### ")], re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def test_the_tables_of_the_reference_are_complete() -> None:
    listed = {name for row in table_below("Attributes and methods") for name in re.findall(r"`(\w+)", row[0])}
    assert listed == {name for name in vars(Handler) if not name.startswith("_")}
    listed = {name for row in table_below("Names") for name in re.findall(r"\w+", row[0])}
    assert listed == set(byo_container.__all__)


def test_the_docstring_of_the_base_class_names_everything() -> None:
    guide = textwrap.dedent(Handler.__doc__ or "")
    for name in vars(Handler):
        assert name.startswith("_") or name in guide, name
