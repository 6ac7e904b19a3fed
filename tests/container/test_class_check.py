"""Classes that are no handlers yet, some of them written for other servers: the errors when they are loaded."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from byo_container.container.class_check import create_for_training
from byo_container.container.discovery import HandlerReference
from byo_container.container.failure import JobError
from byo_container.container.handler import Handler
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.settings import Settings


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> HandlerModel:
    name = f"classes_{abs(hash(folder))}"
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(str(folder))
    model = HandlerModel(HandlerReference(f"{name}:H", "a test"), folder, Settings())
    model.load()
    return model


LITSERVE = """
    class H:
        def setup(self, device): pass
        def predict(self, x): return x
        def decode_request(self, request): return request
"""
RAY = """
    class H:
        async def __call__(self, request): return 1
"""
KSERVE = """
    class H:
        def __init__(self, name): self.name = name
        def load(self): return True
        def predict(self, payload, headers=None): return payload
"""
KEYWORD = """
    class H:
        def __init__(self, *, name, size=1): pass
        def load(self, model_dir): return 1
        def predict(self, model, inputs): return inputs
"""
ASYNC = """
    class H:
        def load(self, model_dir): return 1
        async def predict(self, model, inputs): return inputs
"""
ASYNC_LOAD = """
    class H:
        async def load(self, model_dir): return 1
        def predict(self, model, inputs): return inputs
"""
LOAD_ALONE = """
    class H:
        def load(self): return 1
        def predict(self, model, inputs): return inputs
"""
PREDICT_ALONE = """
    class H:
        def load(self, model_dir): return 1
        def predict(self, inputs): return inputs
"""
NO_FUNCTION = """
    class H:
        def load(self, model_dir): return 1
        predict = None
"""
BOTH = "a handler has load(self, model_dir) and predict(self, model, inputs), see docs/handlers.md"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (LITSERVE, f":H has no method load, so it cannot be served; it has setup, predict, decode_request: {BOTH}"),
        (RAY, f":H has no method load, so it cannot be served; it has __call__: {BOTH}"),
        (KSERVE, f":H is made without arguments, but its __init__ needs name; {BOTH}"),
        (KEYWORD, ":H is made without arguments, but its __init__ needs name;"),
        (
            ASYNC,
            ":H: predict must not be async: it computes in a thread of its own, ",
        ),
        (ASYNC_LOAD, ":H: load must not be async: "),
        (LOAD_ALONE, f":H: load(self) cannot be called with model_dir; {BOTH}"),
        (PREDICT_ALONE, f":H: predict(self, inputs) cannot be called with model, inputs; {BOTH}"),
        (NO_FUNCTION, ":H has no method predict, so it cannot be served; it has load: "),
    ],
)
def test_class_that_is_no_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str) -> None:
    with pytest.raises(JobError) as caught:
        load(tmp_path, monkeypatch, code)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "predict",
    [
        "def predict(self, model, inputs, requests): return inputs",
        "def predict(self, *arguments): return arguments[1]",
        "def predict(self, model, inputs, *, requests=()): return inputs",
        "@staticmethod\n    def predict(model, inputs): return inputs",
        "@classmethod\n    def predict(cls, model, inputs): return inputs",
        "def __init__(self): self.predict = lambda model, inputs: inputs\n    def predict(self): pass",
        "def __init__(self, size=1, *more, **names): pass\n    def predict(self, model, inputs, k=1): return inputs",
    ],
)
def test_valid_signatures_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predict: str) -> None:
    load(tmp_path, monkeypatch, f"class H:\n    def load(self, model_dir): return 1\n    {predict}\n")


class Trains:
    def train(self, job: object) -> None:
        pass


class Untyped(Trains):
    class Hyperparameters:
        epochs = 1


class TrainsAsync:
    async def train(self, job: object) -> None:
        pass


class TrainsNothing:
    def train(self) -> None:
        pass


@pytest.mark.parametrize(
    ("handler_class", "words"),
    [
        (object, "m:H has no method train(job)"),
        (Handler, "m:H has no method train(job)"),
        (TrainsAsync, "m:H: train must not be async: "),
        (
            TrainsNothing,
            "m:H: train(self) cannot be called with job; a handler has train(self, job), see docs/handlers.md",
        ),
        (
            type("Needy", (Trains,), {"__init__": lambda self, name: None}),
            "its __init__ needs name; a handler has train",
        ),
    ],
)
def test_class_that_cannot_train(handler_class: type, words: str) -> None:
    with pytest.raises(JobError) as caught:
        create_for_training(handler_class, "m:H")
    assert words in str(caught.value)
    assert isinstance(create_for_training(Trains, "m:H"), Trains)


def test_hyperparameters_are_a_dataclass() -> None:
    with pytest.raises(
        JobError, match=r"m:H\.Hyperparameters is no dataclass; write @dataclass\(frozen=True\) above it"
    ):
        create_for_training(Untyped, "m:H")


@pytest.mark.parametrize("method", ["cost", "split", "join", "converse", "predict_with_context"])
def test_no_method_is_async(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    arguments = {"join": "input, outputs", "converse": "model, message, conversation"}.get(method, "input")
    if method == "predict_with_context":
        arguments = "model, inputs, contexts"
    code = f"""
        class H:
            def load(self, model_dir): return 1
            def predict(self, model, inputs): return inputs
            async def {method}(self, {arguments}): return inputs
    """
    with pytest.raises(JobError, match=f":H: {method} must not be async"):
        load(tmp_path, monkeypatch, code)
