"""Two models whose code has the same names, in one process."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container.failure import JobError
from serving.isolation import ModelCode, importing

MAIN = """
import helper
from pack import WORD as packed
from pack.part import WORD as part

class Thing:
    pass

def late():
    import later
    return later.WORD

def dynamic():
    import importlib
    return importlib.import_module("helper").WORD
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[ModelCode] = []

    def make(word: str, **files: str) -> ModelCode:
        folder = tmp_path / word
        (folder / "pack").mkdir(parents=True)
        texts = {"main_of_it": MAIN, "helper": f"WORD = {word!r}", "later": f"WORD = 'later {word}'", **files}
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)
        (folder / "pack" / "__init__.py").write_text("from .part import WORD")
        (folder / "pack" / "part.py").write_text(f"WORD = 'part of {word}'")
        made.append(ModelCode([folder]))
        return made[-1]

    yield make
    for code in made:
        code.forget()


def load(code: ModelCode) -> Any:
    with code.active():
        return importlib.import_module("main_of_it")


def test_each_model_finds_its_own(make: Any) -> None:
    a, b = make("a"), make("b")
    first, second = load(a), load(b)
    for code, module, word in ((a, first, "a"), (b, second, "b"), (a, first, "a")):
        assert (module.helper.WORD, module.packed, module.part) == (word, f"part of {word}", f"part of {word}")
        with code.active():
            assert module.late() == f"later {word}"
            assert module.dynamic() == word
            assert type(pickle.loads(pickle.dumps(module.Thing()))) is module.Thing  # noqa: S301


def test_models_load_and_run_at_once(make: Any) -> None:
    codes = [make(f"m{number}") for number in range(8)]
    wrong: list[str] = []

    def work(number: int) -> None:
        module = load(codes[number])
        for _ in range(200):
            with codes[number].active():
                if (module.late(), module.dynamic()) != (f"later m{number}", f"m{number}"):
                    wrong.append(f"{number}: {module.late()}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_a_model_had_is_forgotten_with_it(make: Any) -> None:
    code = make("gone")
    load(code)
    assert "main_of_it" in sys.modules
    code.forget()
    assert not {"main_of_it", "helper", "pack", "pack.part"} & sys.modules.keys()


def test_python_keeps_its_own_names(make: Any) -> None:
    code = make("odd", json="raise ImportError", numpy_like="WORD = 1")
    with code.active():
        assert importlib.import_module("json") is json
        with importing("json"):
            assert sys.modules["json"] is json


def test_other_threads_see_nothing_of_it(make: Any) -> None:
    with make("hidden").active():
        found: list[object] = []

        def look() -> None:
            try:
                found.append(importlib.import_module("later"))
            except ImportError as error:
                found.append(error)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert isinstance(found[0], ImportError)


def test_folders_of_data_hide_no_package(make: Any, tmp_path: Path) -> None:
    code = make("data")
    (tmp_path / "data" / "numpy").mkdir()
    code = ModelCode([tmp_path / "data"])
    before = sys.modules.get("numpy")
    with code.active():
        numpy = importlib.import_module("numpy")
    assert numpy.__file__
    assert before in (None, numpy)


def test_names_of_ours_are_refused(make: Any) -> None:
    with pytest.raises(JobError, match="rename the first"):
        make("theirs", serving="")
