"""A system that fails: a full disk, a log that nobody reads, a server that is killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.serving.support.metrics import measured
from tests.serving.support.server import make_root

if TYPE_CHECKING:
    from tests.serving.support.server import Start

LARGE = b'"' + b"x" * 600_000 + b'"'  # more than nginx keeps in memory


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    return folder / "filler"


def test_full_disk_fails_only_requests_that_nginx_buffers(
    start: Start, tmp_path: Path, mount: Callable[..., None]
) -> None:
    mount(folder := tmp_path / "small", "size=3m")
    server = start(TMPDIR=str(folder), MODEL_SERVER_WORKERS="2").ready()
    assert server.post(data=LARGE).status_code == 200
    filler = fill(folder)
    answer = server.post(data=LARGE)
    assert answer.status_code in (500, 503, 507)
    assert answer.json()["message"]
    for n in range(20):
        assert server.ask(n) == n
    assert measured(server)['byo_requests_total{status="200"}'] >= 21
    os.kill(server.workers()[0], signal.SIGKILL)  # who comes next needs no room either
    server.until(lambda: server.log().count("the model is loaded") == 3, "it is replaced")
    assert [server.ask(n) for n in range(20)] == list(range(20))
    filler.unlink()
    assert server.post(data=LARGE).status_code == 200
    server.close()


def test_full_disk_at_startup_is_reported(start: Start, tmp_path: Path, mount: Callable[..., None]) -> None:
    mount(folder := tmp_path / "small", "size=8k")
    (folder / "filler").write_bytes(bytes(4096))
    server = start(TMPDIR=str(folder))
    assert server.ended() == 1
    assert "No space left" in server.log()
    server.close()


def test_blocked_stdout_does_not_block_requests(start: Start, tmp_path: Path) -> None:
    """stdout is a pipe that is never emptied; errors go elsewhere."""
    script = 'exec "$@" 2>"$0" | sleep 1000'
    server = start(prefix=["sh", "-c", script, str(tmp_path / "errors")]).ready()
    long = "/" + "x" * 4000
    for n in range(60):  # 240 KB, and a pipe holds 64
        assert server.get(long).status_code == 404
        assert server.ask(n) == n
    errors = tmp_path / "errors"
    for _ in range(300):
        server.get(long)
    assert server.ask(1) == 1
    assert "Traceback" not in errors.read_text()


def test_lost_log_lines_are_counted(tmp_path: Path) -> None:
    """The reader of the access log alone, with a pipe that is emptied late."""
    script = """
import os, time
from byo_container.serving.nginx import logs
from byo_container.container import log
log.configure()
read, write = os.pipe()
lines = logs.AccessLog(write)
began = time.monotonic()
for n in range(2000):
    lines.line(f"{n} " + "x" * 1000)
assert time.monotonic() - began < 10
seen = b""
while len(seen) < logs.HELD_BYTES:
    seen += os.read(read, 65536)
    lines.flush()
os.set_blocking(read, False)
for _ in range(100):
    lines.flush()
    try: seen += os.read(read, 65536)
    except BlockingIOError: break
assert [int(line.split()[0]) for line in seen.decode().splitlines()] == list(range(seen.count(b"\\n")))
assert seen.endswith(b"x\\n")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ lines of the access log are lost", done.stderr)


def test_run_folder_of_a_killed_server_is_removed_by_the_next(start: Start, tmp_path: Path) -> None:
    (folder := tmp_path / "tmp").mkdir()
    (folder / "byo-serve-not-ours").mkdir()
    first = start(make_root(tmp_path / "1"), TMPDIR=str(folder))
    first.until(lambda: list(folder.glob("byo-serve-*/lock")), "it has begun")
    (left,) = (lock.parent for lock in folder.glob("byo-serve-*/lock"))
    second = start(make_root(tmp_path / "2"), TMPDIR=str(folder)).ready()
    assert left.exists()  # its owner lives
    os.kill(first.process.pid, signal.SIGKILL)
    first.until(lambda: not first.processes(), "all have ended")
    assert left.exists()
    third = start(make_root(tmp_path / "3"), TMPDIR=str(folder)).ready()
    assert not left.exists()
    assert (folder / "byo-serve-not-ours").exists()
    assert second.status() == third.status() == 200


def test_every_line_about_a_request_has_its_id(start: Start) -> None:
    server = start(LOG_FORMAT="text").ready()
    server.ask({"log": "from a library"})
    server.post(json={"raise": "a fault"})
    server.post(json={"sleep": 0})

    def ids(words: str) -> set[str]:
        lines = [line for line in server.log().splitlines() if words in line]
        return {found for line in lines for found in re.findall("[0-9a-f]{32}", line)}

    server.until(lambda: len(ids("POST /invocations")) == 3, "the access log is written")
    (library,), (fault,) = ids("from a library"), ids("a fault")
    assert library != fault
    assert {library, fault} <= ids("POST /invocations")


def test_a_batch_names_all_its_requests(start: Start) -> None:
    server = start(MODEL_SERVER_BATCH_DELAY_MS="500").ready()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: server.ask({"log": "one of several"}), range(4)))
    lines = [line for line in server.log().splitlines() if "one of several" in line]
    assert max(len(re.findall("[0-9a-f]{32}", line)) for line in lines) > 1
