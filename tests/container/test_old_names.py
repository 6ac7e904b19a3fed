"""The import paths of older releases, in users' code and in models that were trained then."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import byo_container
from byo_container.container import discovery, old_names
from byo_container.container.discovery import HandlerReference, find_for_serving
from byo_container.container.paths import Paths

OLD = ("container", "handlers")


@pytest.fixture(autouse=True)
def own_imports() -> Iterator[None]:
    """What a test imports by an old name is forgotten when it ends. The checkout is not on the path: it has folders of
    these names."""
    path, finders = list(sys.path), list(sys.meta_path)
    old_names._finder.warned = False
    sys.path[:] = [entry for entry in path if not Path(entry, "container").is_dir()]
    yield
    sys.path[:], sys.meta_path[:] = path, finders
    for name in [name for name in sys.modules if name.partition(".")[0] in OLD]:
        del sys.modules[name]


def run(code: str) -> None:
    exec(textwrap.dedent(code), {})  # noqa: S102


def test_old_imports_give_the_same_classes_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    old_names.install()
    with caplog.at_level(logging.WARNING):
        run("""
            from container.handler import Conversation, InputError, Invocation
            from container.handler import InputError as again
            from container.failure import JobError, JobStopped
            from container.hyperparameters import Range
            from container.job import TrainingJob
            import container.checkpoints, container.process
            import container.progress as progress
            import byo_container
            assert InputError is again is byo_container.InputError
            assert Invocation is byo_container.RequestContext
            assert JobStopped is byo_container.JobStopped
            assert Range is byo_container.Range
            assert container.checkpoints.Checkpoints is byo_container.Checkpoints
            assert container.process.StopFlag is byo_container.StopFlag
            assert progress.Progress is byo_container.Progress
        """)
    assert [record.message.split()[0] for record in caplog.records] == ["container.handler"]
    assert "from byo_container import Handler, InputError" in caplog.text


def test_names_that_have_moved_on_are_where_handlers_imported_them(tmp_path: Path) -> None:
    """The built-in handlers are written to be copied: a copy of an older release imports these."""
    old_names.install()
    run(f"""
        from container import digest, hyperparameters, log, metrics
        from container.checkpoints import refuse_others
        from container.handler import MANIFEST, write_atomically
        from container.hyperparameters import convert, expectation, nearest
        from container.job import read_object
        from container.metrics import line
        from container.resources import cores
        from container.writing import UNFINISHED, check_writable, writing
        from pathlib import Path
        folder = Path({str(tmp_path)!r})
        with writing(folder):
            check_writable(folder)
            write_atomically(folder / MANIFEST, '{{"a": 1}}')
        assert read_object(folder / "handler.json") == {{"a": 1}}
        assert nearest("epoch", ["epochs"]) == "did you mean 'epochs'? known are: epochs"
        assert len(digest.of_bytes(b"")) == digest.LENGTH and not [*folder.glob(UNFINISHED + "*")]
    """)


@pytest.mark.parametrize("name", [name for name, new in old_names.MODULES.items() if new])
def test_every_old_module_has_the_names_of_the_new_one(name: str) -> None:
    old_names.install()
    run(f"import {name}")
    public = {*vars(importlib.import_module(old_names.MODULES[name] or "")), *old_names.MOVED.get(name, ())}
    assert public >= {one for one in vars(sys.modules[name]) if one[:2] != "__"} > set()


def test_the_modules_of_the_package_itself_are_not_touched() -> None:
    old_names.install()
    before = byo_container.InputError.__module__, sys.modules["byo_container.container.handler"].__spec__
    run("import container.handler")
    assert before == ("byo_container.container.handler", sys.modules["byo_container.container.handler"].__spec__)


@pytest.mark.parametrize("kind", ["a module", "a package", "a package without __init__.py"])
def test_a_users_own_package_wins(tmp_path: Path, kind: str) -> None:
    if kind == "a module":
        (tmp_path / "container.py").write_text("OWN = 1")
    else:
        (tmp_path / "container").mkdir()
        (tmp_path / "container/mine.py").write_text("OWN = 1")
        if kind == "a package":
            (tmp_path / "container/__init__.py").touch()
    discovery.put_on_path([tmp_path])
    run("from container import OWN" if kind == "a module" else "from container.mine import OWN")
    with pytest.raises(ModuleNotFoundError):
        run("import container.handler")  # theirs has none


def test_a_manifest_of_an_old_model_is_served(ml: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/handler.json").write_text(json.dumps({"handler": "handlers.news:NewsClassifier"}))
    discovery.put_on_path([])
    reference = find_for_serving(Paths(tmp_path), {})
    assert isinstance(reference, HandlerReference)
    found: type = reference.load()
    assert (found.__module__, found.__name__) == ("byo_container.handlers.news.handler", "NewsClassifier")


def test_an_old_reference_to_a_handler_names_its_launcher() -> None:
    assert discovery.launcher_of("handlers.translation:Translation") == "torchrun"


def test_what_does_not_belong_to_users_code_knows_no_old_names() -> None:
    code = "import byo_container.cli, container"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert "No module named 'container'" in done.stderr


def test_a_checkout_on_the_path_is_not_imported_twice() -> None:
    """Its folders have the old names. An InputError of a second copy would be no InputError to the server."""
    code = """
        import byo_container
        from container.handler import InputError
        from handlers.news import NewsClassifier
        import byo_container.handlers.news
        assert InputError is byo_container.InputError
        assert NewsClassifier is byo_container.handlers.news.NewsClassifier
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is an old name") == 1
