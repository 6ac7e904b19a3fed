"""Two models whose code has the same names, in one process."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import py_compile
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byo_container.serving.models.import_isolation import ModelCode
from byo_container.serving.models.script.functions import import_file

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
        code.unload()


def load_module(code: ModelCode) -> Any:
    with code.active():
        return importlib.import_module("main_of_it")


def test_each_model_imports_its_own_modules(make: Any) -> None:
    a, b = make("a"), make("b")
    first, second = load_module(a), load_module(b)
    for code, module, word in ((a, first, "a"), (b, second, "b"), (a, first, "a")):
        assert (module.helper.WORD, module.packed, module.part) == (word, f"part of {word}", f"part of {word}")
        with code.active():
            assert module.late() == f"later {word}"
            assert module.dynamic() == word
            assert type(pickle.loads(pickle.dumps(module.Thing()))) is module.Thing  # noqa: S301


def test_models_import_in_threads_at_once(make: Any) -> None:
    codes = [make(f"m{number}") for number in range(8)]
    wrong: list[str] = []

    def work(number: int) -> None:
        module = load_module(codes[number])
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


def test_unload_removes_the_models_modules(make: Any) -> None:
    before = set(sys.modules)
    code = make("gone")
    load_module(code)
    assert f"{code.package}.pack.part" in sys.modules
    code.unload()
    assert set(sys.modules) == before


STANDARD = """
import sys, threading
from pathlib import Path
from byo_container.serving.models.import_isolation import ModelCode

folder = Path(sys.argv[1])
for name in ("statistics", "calendar", "wave"):
    assert name not in sys.modules
    (folder / f"{name}.py").write_text("WORD = 'the model\'s'")
(folder / "slow.py").write_text("import sys; at_work.set(); go_on.wait(60); import statistics, calendar")
at_work, go_on, path = threading.Event(), threading.Event(), list(sys.path)
import builtins
builtins.at_work, builtins.go_on = at_work, go_on
code = ModelCode([folder])

def work():
    with code.active():
        import importlib
        importlib.import_module("slow")

thread = threading.Thread(target=work)
thread.start()
at_work.wait(60)
import wave  # while the model is being imported
assert not hasattr(wave, "WORD") and sys.path == path, wave
go_on.set()
thread.join()
code.unload()
import statistics, calendar
assert statistics.mean([1, 3]) == 2 and calendar.isleap(2024) and sys.path == path
"""


def test_standard_library_is_not_shadowed_before_its_first_import(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STANDARD, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr


def test_standard_library_is_not_shadowed(make: Any) -> None:
    code = make(
        "odd",
        json="raise ImportError",
        statistics="WORD = 'its own'",
        user="import json, statistics",
        relative="from . import statistics",
    )
    with code.active():
        assert importlib.import_module("json") is json
        user = importlib.import_module("user")
        relative = importlib.import_module("relative")
    assert (user.json, user.statistics) == (json, statistics)
    assert relative.statistics.WORD == "its own"


SHARED = """
import helper
def late():
    import helper
    return helper.WORD
"""


def test_shared_module_imports_no_models_modules(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "image"
    image.mkdir()
    (image / "helper.py").write_text("WORD = 'of all'")
    (image / "shared.py").write_text(SHARED)
    monkeypatch.syspath_prepend(str(image))
    try:
        own, none = make("own", main_of_it="import shared, helper"), make("none")
        first = load_module(own)
        assert (first.helper.WORD, first.shared.helper.WORD) == ("own", "of all")
        with own.active():
            assert first.shared.late() == "of all"
            assert importlib.import_module("shared") is first.shared
        with none.active():
            assert importlib.import_module("shared").helper.WORD == "of all"
    finally:
        for name in ("shared", "helper"):
            sys.modules.pop(name, None)


def test_crossed_imports_of_two_models_do_not_deadlock(make: Any) -> None:
    """Each holds one import while it wants another; neither waits for the other model."""
    meeting = threading.Barrier(2, timeout=30)
    sys.modules["meeting"] = type(sys)("meeting")
    sys.modules["meeting"].wait = meeting.wait  # type: ignore[attr-defined]
    text = "import meeting; meeting.wait(); import {0}; WORD = 1"
    codes = [make("x", one=text.format("two"), two=""), make("y", two=text.format("one"), one="")]
    done: list[Any] = []

    def work(code: ModelCode, name: str) -> None:
        with code.active():
            done.append(importlib.import_module(name))

    threads = [
        threading.Thread(target=work, args=pair, daemon=True) for pair in zip(codes, ("one", "two"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    del sys.modules["meeting"]
    assert [module.WORD for module in done] == [1, 1]


def test_pickles_find_the_models_classes(make: Any) -> None:
    """Those of the training, with plain names, and those of another worker, where the package has another number."""
    a, b = make("a"), make("b")
    made = pickle.dumps(load_module(a).Thing(), 0)
    number = f"{a.package}.".encode()
    for code in (a, b):
        thing = load_module(code).Thing
        for text in (made.replace(number, b""), made.replace(number, b"_model_999999."), made):
            with code.active():
                in_python = pickle._Unpickler(io.BytesIO(text)).load()
                assert type(pickle.loads(text)) is type(pickle.load(io.BytesIO(text))) is type(in_python) is thing  # noqa: S301
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(made.replace(number, b""))  # noqa: S301


def test_byte_code_is_neither_written_nor_read(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert load_module(make("v1")).helper.WORD == "v1"
    assert not list(tmp_path.rglob("__pycache__"))
    py_compile.compile(str(tmp_path / "v1" / "helper.py"))
    # Another version of the same size and time, as in archives whose times are all the same.
    helper = tmp_path / "v1" / "helper.py"
    times = helper.stat().st_atime_ns, helper.stat().st_mtime_ns
    helper.write_text("WORD = 'v2'")
    os.utime(helper, ns=times)
    assert load_module(ModelCode([tmp_path / "v1"])).helper.WORD == "v2"


def test_missing_module_has_the_name_of_the_import_statement(make: Any) -> None:
    code = make("m", asks="import pack.gone")
    with code.active(), pytest.raises(ModuleNotFoundError, match=r"^No module named 'pack\.gone'$") as raised:
        importlib.import_module("asks")
    assert raised.value.name == "pack.gone"


def test_the_images_script_is_imported_once_for_each_model(make: Any, tmp_path: Path) -> None:
    """Under a name of Python's, too, which stays Python's."""
    before = sys.modules.get("queue")
    for stem in ("script", "queue"):
        script = tmp_path / f"{stem}.py"
        script.write_text("import queue, helper\nWORD = helper.WORD\nQueue = queue.Queue")
        found = []
        for word in "ab":
            with make(f"{stem} {word}").active():
                found.append(import_file(script))
                assert importlib.import_module("queue").Queue is found[-1].Queue
        assert [module.WORD for module in found] == [f"{stem} a", f"{stem} b"]
    assert sys.modules.get("queue") in (before, importlib.import_module("queue"))


def test_threads_of_a_model_import_its_modules(make: Any) -> None:
    text = """
import threading
found = []
def look():
    import later
    found.append(later.WORD)
thread = threading.Thread(target=look); thread.start(); thread.join()
"""
    for word in "ab":
        code = make(word, main_of_it=text)
        assert load_module(code).found == [f"later {word}"]


def test_import_scope_is_not_active_in_other_threads(make: Any) -> None:
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


def test_data_folder_shadows_no_installed_package(make: Any, tmp_path: Path) -> None:
    code = make("data")
    (tmp_path / "data" / "numpy").mkdir()
    code = ModelCode([tmp_path / "data"])
    before = sys.modules.get("numpy")
    with code.active():
        numpy = importlib.import_module("numpy")
    assert numpy.__file__
    assert before in (None, numpy)
