"""SIGHUP replaces the workers one by one, with a new model, without an error and without a pause."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving.support.clients import steady_load

if TYPE_CHECKING:
    import requests

    from tests.serving.support.server import Start


def version(answer: requests.Response) -> object:
    return answer.json() if answer.status_code == 200 else answer.status_code


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_rolling_restart_under_load_has_no_error(start: Start, root: Path, workers: str) -> None:
    (root / "model/version").write_text("old")
    server = start(root, MODEL_SERVER_WORKERS=workers, TOY_LOAD_S="1").ready()
    before = server.until(lambda: w if len(w := server.workers()) == int(workers) else None, "all workers are there")
    server.until(lambda: server.log().count("the model is loaded") == int(workers), "all are ready")
    with steady_load(server, {"ask": "version"}, seen_as=version) as seen:
        (root / "model/version").write_text("new")
        os.kill(server.process.pid, signal.SIGHUP)
        server.until(lambda: "all workers are replaced" in server.log(), "the roll is over")
        server.until(lambda: len(server.workers()) == int(workers), "none is left over")
        during = Counter(seen)
        seen.clear()
        server.until(lambda: seen.total() > 20, "answers")
    assert during.keys() <= {"old", "new"}
    assert seen.keys() == {"new"}
    assert not {*server.workers()} & {*before}


def test_no_request_waits_for_the_model_during_a_rolling_restart(start: Start, root: Path) -> None:
    (root / "model/version").write_text("old")
    server = start(root, TOY_LOAD_S="2").ready()
    slowest = 0.0
    os.kill(server.process.pid, signal.SIGHUP)
    while "all workers are replaced" not in server.log():
        began = time.monotonic()
        assert server.ask(1) == 1
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.5


def test_sighup_while_gunicorn_starts_waits_for_it(start: Start, root: Path) -> None:
    (root / "model/version").write_text("old")
    server = start(root, MODEL_SERVER_NGINX="off")
    server.until(lambda: server.children(server.process.pid), "gunicorn's process is there")
    os.kill(server.process.pid, signal.SIGHUP)
    server.ready()
    server.until(lambda: "all workers are replaced" in server.log(), "the roll is over")
    assert server.process.poll() is None


def test_broken_model_stops_the_rolling_restart(start: Start, root: Path) -> None:
    (root / "model/version").write_text("old")
    server = start(root, MODEL_SERVER_WORKERS="2").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both are ready")
    before = set(server.workers())
    with steady_load(server, {"ask": "version"}, seen_as=version) as seen:
        (root / "model/version").write_text("broken")
        os.kill(server.process.pid, signal.SIGHUP)
        server.until(lambda: "the new worker cannot take over" in server.log(), "the roll is given up")
        server.until(lambda: set(server.workers()) == before, "the old ones are there, and nobody else")
        time.sleep(0.5)
    assert seen.keys() == {"old"}
    (root / "model/version").write_text("new")
    os.kill(server.process.pid, signal.SIGHUP)
    server.until(lambda: server.log().count("all workers are replaced"), "the next one works")
    assert server.ask({"ask": "version"}) == "new"


BROKEN = {
    "handler.json is gone": ("model/handler.json", None),
    "handler.json is no JSON": ("model/handler.json", "not JSON"),
    "handler.json is half written": ("model/handler.json", '{"handler": "mine:M'),
    "a module that raises": ("model/code/mine.py", "raise ValueError('torn')"),
    "a module that ends its process": ("model/code/mine.py", "import os; os._exit(3)"),
    "a module that ends it otherwise": ("model/code/mine.py", "import os; os._exit(4)"),
    "a module that hangs": ("model/code/mine.py", "import time; time.sleep(600)"),
}
MINE = """
class Mine:
    def load(self, model_dir):
        return "good"
    def predict(self, model, inputs):
        return [model for _ in inputs]
"""


@pytest.mark.slow
def test_old_workers_serve_on_whatever_is_broken_in_the_new_model(start: Start, root: Path) -> None:
    good = {"model/handler.json": '{"handler": "mine:Mine"}', "model/code/mine.py": MINE}

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    def given_up(times: int) -> bool:
        return server.log().count("the new worker cannot take over") == times

    write(good)
    environ = {"MODEL_HANDLER": "", "SAGEMAKER_STARTUP_TIMEOUT": "10", "PYTHONDONTWRITEBYTECODE": "1"}
    server = start(root, MODEL_SERVER_WORKERS="2", **environ).ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both are ready")
    before = set(server.workers())
    with steady_load(server, 1, seen_as=version, clients=2) as seen:
        for number, (path, text) in enumerate(BROKEN.values(), 1):
            (root / path).unlink(missing_ok=True)
            write({path: text} if text is not None else {})
            os.kill(server.process.pid, signal.SIGHUP)
            server.until(partial(given_up, number), f"roll {number} is given up", 60)
            server.until(lambda: set(server.workers()) == before, "the old ones are there, and nobody else")
            write(good)
    assert seen.keys() == {"good"}
    assert server.log().count("its model cannot be loaded") == 4
    assert server.log().count("it ended before it was ready") == 2
    assert server.log().count("was not loaded within 10 s") == 1


def test_worker_that_dies_while_the_new_model_is_broken_leaves_the_others(start: Start, root: Path) -> None:
    (root / "model/handler.json").write_text('{"handler": "toy:Toy"}')
    server = start(root, MODEL_HANDLER="", MODEL_SERVER_WORKERS="2").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both are ready")
    with steady_load(server, {"ask": "pid"}, clients=2) as seen:
        (root / "model/handler.json").write_text('{"handler": ')
        os.kill(server.workers()[0], signal.SIGKILL)
        server.until(lambda: server.log().count("the model cannot be loaded") >= 3, "it is tried again")
        (root / "model/handler.json").write_text('{"handler": "toy:Toy"}')
        server.until(lambda: server.log().count("the model is loaded") == 3, "as soon as it can be, it is loaded")
    assert seen.keys() <= {200, 503}
    assert seen[503] <= 2  # what the killed one had
    assert "handler.json" in server.log()


@pytest.mark.slow
def test_sighup_during_a_rolling_restart_starts_it_over(start: Start, root: Path) -> None:
    (root / "model/version").write_text("1")
    server = start(root, MODEL_SERVER_WORKERS="2", TOY_LOAD_S="0.5").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both are ready")
    for version in ("2", "3"):
        (root / "model/version").write_text(version)
        os.kill(server.process.pid, signal.SIGHUP)
        time.sleep(1.2)
    server.until(lambda: "all workers are replaced" in server.log(), "the roll is over")
    server.until(lambda: len(server.workers()) == 2, "none is left over")
    assert {server.ask({"ask": "version"}) for _ in range(20)} == {"3"}


def test_a_model_that_forks_while_it_is_loaded_leaves_no_copy(start: Start, root: Path) -> None:
    code = "class Forks:\n    def load(self, model_dir):{}\n    def predict(self, model, inputs): return inputs\n"
    (root / "code/forks.py").write_text(code.format(" return 1"))
    server = start(root, MODEL_HANDLER="forks:Forks").ready()
    before = server.processes().keys()
    broken = (
        "\n        import os\n        if os.fork() == 0:\n            return 1\n        raise RuntimeError('no model')"
    )
    (root / "code/forks.py").write_text(code.format(broken))
    os.kill(server.process.pid, signal.SIGHUP)
    server.until(lambda: "cannot take over" in server.log(), "the new worker has failed")
    server.until(lambda: server.processes().keys() == before, "its copies are gone")
    assert server.ask("x") == "x"
    assert "the model is loaded" not in server.log().partition("replacing")[2]
