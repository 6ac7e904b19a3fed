"""Workers that die, hang, leak or exit under load lose only the requests they were working on."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving.support.clients import steady_load
from tests.serving.support.metrics import measured

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

MEMORY = Path("/sys/fs/cgroup/memory")


def both_ready(server: Server, times: int = 2) -> Server:
    server.until(lambda: server.log().count("the model is loaded") >= times, "both workers are ready")
    return server


def test_killed_workers_lose_only_their_requests_in_flight(start: Start) -> None:
    server = both_ready(start(MODEL_SERVER_WORKERS="2").ready())
    with steady_load(server, {"sleep": 0.03}) as seen:
        for times in (3, 4, 5):
            time.sleep(0.5)
            os.kill(server.workers()[0], signal.SIGKILL)
            both_ready(server, times)
        server.until(lambda: len(server.workers()) == 2, "both are there")
        before = seen.total()
        server.until(lambda: seen.total() > before + 20, "answers")
    assert seen.keys() <= {200, 503}  # lost with its worker, and answered with 503
    assert seen[503] <= 3 * 4
    assert seen[200] > 20
    assert measured(server)["byo_worker_restarts_total"] == 3


def test_a_model_that_ends_its_process_is_replaced(start: Start) -> None:
    """Whatever the status: gunicorn's master takes 3 and 4 of a worker for its own end."""
    server = both_ready(start(MODEL_SERVER_WORKERS="2").ready())
    ends = [{"_exit": 0}, {"_exit": 1}, {"_exit": 3}, {"_exit": 4}, {"_exit": 255}, {"segfault": 1}]
    with steady_load(server, 1, clients=2) as seen:
        for times, end in enumerate(ends, 3):
            time.sleep(0.2)
            assert server.post(json=end).status_code == 503
            both_ready(server, times)
    assert seen[503] <= 2 * len(ends)
    assert seen.keys() <= {200, 503}
    assert [server.ask(n) for n in range(10)] == list(range(10))


ENDS = """
import os
class Model:
    def load(self, model_dir):
        with open(os.environ["SAGEMAKER_BASE_DIR"] + "/loads", "a") as loads:
            loads.write("x")
        {}
    def predict(self, model, inputs):
        return inputs
"""


def test_crashing_load_is_retried_with_backoff_until_the_startup_timeout(start: Start) -> None:
    server = start(MODEL_HANDLER="ends:Model", SAGEMAKER_STARTUP_TIMEOUT="6")
    (server.root / "code/ends.py").write_text(ENDS.format("os._exit(3)"))
    assert server.ended() == 1
    assert "SAGEMAKER_STARTUP_TIMEOUT" in server.log()
    assert 2 <= len((server.root / "loads").read_text()) <= 8
    assert server.processes() == {}


@pytest.mark.parametrize("failure", ["os._exit(4)", "raise ValueError('not yet')"])
def test_failed_load_is_retried_while_other_workers_serve(start: Start, failure: str) -> None:
    server = start(MODEL_HANDLER="ends:Model", MODEL_SERVER_WORKERS="2")
    ends = f"""
        try: os.mkdir(os.environ["SAGEMAKER_BASE_DIR"] + "/first")
        except FileExistsError: return
        {failure}"""
    (server.root / "code/ends.py").write_text(ENDS.format(ends))
    both_ready(server.ready())
    assert (server.root / "loads").read_text() == "xxx"
    assert ("exited with code 4" if "4" in failure else "the model cannot be loaded: ValueError") in server.log()
    assert [server.ask(n) for n in range(10)] == list(range(10))


def test_workers_that_cannot_be_started_for_now_are_started_later(start: Start) -> None:
    """Here for want of files; a limit of processes or memory is the same to the master."""
    server = both_ready(start(MODEL_SERVER_WORKERS="2").ready())
    master, (killed, other) = server.child("gunicorn"), server.workers()
    before = resource.prlimit(master, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.kill(server.process.pid, signal.SIGHUP)
    server.until(lambda: "it cannot be started: " in server.log(), "the roll is given up")
    os.kill(killed, signal.SIGKILL)
    server.until(lambda: server.log().count("a worker cannot be started") >= 2, "it is tried again")
    assert server.workers() == [other]
    assert server.ask([1]) == [1]
    resource.prlimit(master, resource.RLIMIT_NOFILE, before)
    both_ready(server, 3)
    assert len(server.workers()) == 2


def test_a_worker_that_cannot_be_set_up_ends_a_server_that_was_never_ready(start: Start) -> None:
    """Where our own code fails, not a model's: another try would find the same. Here a path is too long for the sockets
    by which workers with many models talk, and not for gunicorn's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (long := Path(folder.ljust(74, "x"))).mkdir()
        try:
            server = start(TMPDIR=str(long), SAGEMAKER_MULTI_MODEL="true")
            assert server.ended(30) == 1
        finally:
            shutil.rmtree(long)
    assert "AF_UNIX path too long" in server.log()
    assert "could not be set up" in server.log()
    assert server.processes() == {}


def test_sys_exit_in_predict_fails_only_its_request(start: Start) -> None:
    server = start().ready()
    worker = server.workers()
    with steady_load(server, 1, clients=2) as seen:
        assert [server.post(json={"exit": status}).status_code for status in (0, 1, 3, 4)] == [500] * 4
    assert seen.keys() == {200}
    assert server.workers() == worker


def test_hanging_request_is_504_and_others_are_answered(start: Start) -> None:
    """By the same worker, the only one: by another thread of it, and then by who takes its place."""
    server = start(MODEL_SERVER_TIMEOUT="2").ready()
    (worker,) = server.workers()
    server.ask({"sleep": 0.1})
    with ThreadPoolExecutor(8) as pool:
        hanging = pool.submit(server.post, json={"sleep": 60})
        time.sleep(0.7)
        others = [pool.submit(server.post, json=n) for n in range(6)]
        assert hanging.result().status_code == 504
        assert [other.result().status_code for other in others] == [200] * 6
    with steady_load(server, 1, clients=2) as seen:
        server.until(lambda: len(server.workers()) == 1 and worker not in server.workers(), "it is replaced")
    assert seen.keys() == {200}


@contextlib.contextmanager
def limited(megabytes: int) -> Iterator[list[str]]:
    """The beginning of a command line that runs with so much memory, and is killed by the kernel above."""
    group = MEMORY / f"byo-{uuid.uuid4().hex}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(megabytes << 20))
    except OSError:
        pytest.skip("limiting memory needs a cgroup (v1) that may be written to")
    with contextlib.suppress(OSError):
        (group / "memory.memsw.limit_in_bytes").write_text(str(megabytes << 20))
    try:
        yield ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    finally:
        deadline = time.monotonic() + 10
        while group.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
            time.sleep(0.1)


@pytest.mark.slow
def test_a_model_that_leaks_until_the_limit_is_replaced(start: Start) -> None:
    with limited(400) as prefix:
        server = both_ready(start(prefix=prefix, MODEL_SERVER_WORKERS="2").ready())
        with steady_load(server, {"sleep": 0.01}, clients=2) as seen:
            lost = 0
            while lost < 2:
                status = server.post(json={"leak": 40}).status_code
                assert status in (200, 503)
                lost += status == 503
                if status == 503:
                    server.until(lambda: len(server.workers()) == 2, "it is replaced")
            server.until(lambda: server.log().count("SIGKILL") >= 2, "the kernel has killed them")
        assert seen.keys() <= {200, 503}
        assert seen[503] <= 8
        assert server.ask(1) == 1
        server.close()


def test_memory_error_in_predict_fails_only_its_request(start: Start) -> None:
    server = start(prefix=["prlimit", f"--as={3 << 30}"]).ready()
    assert server.post(json={"leak": 4096}).status_code == 500
    assert "MemoryError" in server.log()
    assert server.ask(1) == 1


@pytest.mark.parametrize("where", ["import", "model_fn", "predict_fn"])
def test_multi_model_crash_of_one_model_leaves_the_others(start: Start, root: Path, where: str) -> None:
    """At import, while it is loaded, and when it predicts."""
    for name in ("good", "bad"):
        (code := root / "models" / name / "code").mkdir(parents=True)
        (code / "inference.py").write_text(
            "import os\nBAD = %r\nif BAD == 'import': os._exit(3)\n"
            "def model_fn(model_dir):\n    if BAD == 'model_fn': os._exit(4)\n"
            "def predict_fn(data, model):\n    if BAD == 'predict_fn': os._exit(3)\n    return data\n"
            % (where if name == "bad" else "")
        )
    server = start(root, MODEL_HANDLER="", SAGEMAKER_MULTI_MODEL="true", MODEL_SERVER_WORKERS="2").ready()
    urls = {name: {"model_name": name, "url": str(root / "models" / name)} for name in ("good", "bad")}
    assert server.post("/models", json=urls["good"]).status_code == 200
    answer = server.post("/models", json=urls["bad"])
    if where == "predict_fn":
        answer = server.post("/models/bad/invoke", json=1)
    assert answer.status_code == 503, answer.text
    server.until(lambda: "exited with code" in server.log(), "a worker has ended")
    for n in range(10):
        assert server.post("/models/good/invoke", json=n).json() == n
    server.until(lambda: len(server.workers()) == 2, "it is replaced")


def test_a_process_that_a_model_forks_ends_by_sigterm(start: Start) -> None:
    """As multiprocessing's Pool ends its children, and waits for them."""
    assert start().ready().ask({"terminate": 20}) == -signal.SIGTERM
