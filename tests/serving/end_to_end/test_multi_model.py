"""Multi-model endpoints: models are loaded, listed, invoked and unloaded while several workers serve them."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import shutil
import signal
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from tests.serving.support.model_names import UNROUTABLE

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

# Each model says its own word, from a module that all of them call `word`; and can be made to hold memory or to wait.
INFERENCE = """
import os, time
import word

def model_fn(model_dir):
    time.sleep(getattr(word, "LOAD_S", 0))
    ballast = bytearray(os.urandom(1)) * (getattr(word, "MB", 0) << 20)
    if getattr(word, "MB", 0) < 0:
        raise MemoryError("no room")
    return ballast

def input_fn(data, content_type):
    return data

def predict_fn(data, model):
    import late
    if data.startswith("sleep"):
        time.sleep(float(data.split()[1]))
    return [word.WORD, late.WORD, os.getpid(), len(model)]
"""


@pytest.fixture
def root(root: Path) -> Path:
    (root / "models").mkdir()
    return root


def put(root: Path, name: str, folder: str = "", **values: int) -> dict[str, str]:
    """A model that says `name`, and the request that loads it."""
    code = root / "models" / (folder or name) / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(INFERENCE)
    text = f"WORD = {name!r}\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    (code / "word.py").write_text(text)
    (code / "late.py").write_text("from word import WORD as word\nWORD = 'late ' + word\n")
    return {"model_name": name, "url": str(code.parent)}


@pytest.fixture
def serve(start: Start, root: Path) -> Callable[..., Server]:
    def serve(workers: int = 2, **environ: str) -> Server:
        options = {"MODEL_HANDLER": "", "SAGEMAKER_MULTI_MODEL": "true", "MODEL_SERVER_WORKERS": str(workers)}
        return start(root, **options | environ).ready()

    return serve


def load_model(server: Server, wanted: Any, status: int = 200) -> Any:
    answer = server.post("/models", json=wanted)
    assert answer.status_code == status, answer.text
    return answer.json()


def invoke(server: Server, name: str, text: str = "x", status: int = 200) -> Any:
    answer = server.post(f"/models/{quote(name, safe='')}/invoke", data=text, headers={"Content-Type": "text/csv"})
    assert answer.status_code == status, answer.text
    return answer.json()


def remove(server: Server, name: str, status: int = 200) -> None:
    answer = server.request("DELETE", f"/models/{quote(name, safe='')}")
    assert answer.status_code == status, answer.text


def in_all_workers(server: Server, name: str) -> dict[int, list[Any]]:
    """What each worker answers for a model."""

    def ask(_: int) -> Any:
        return invoke(server, name, "sleep 0.1")

    found: dict[int, list[Any]] = {}
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found.update((answer[2], answer) for answer in pool.map(ask, range(8)))
            if len(found) == len(server.workers()):
                return found
    raise AssertionError(f"only {found} of {server.workers()}")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.parametrize("nginx", ["on", "off"])
def test_load_list_invoke_remove(serve: Callable[..., Server], root: Path, nginx: str) -> None:
    server = serve(MODEL_SERVER_NGINX=nginx)
    assert server.get("/models").json() == {"models": []}
    invoke(server, "a", status=404)
    remove(server, "a", 404)
    a, b = put(root, "a"), put(root, "b")
    load_model(server, a)
    load_model(server, b)
    assert "DELETE" in load_model(server, a, 409)["message"]
    described = {"modelName": "a", "modelUrl": a["url"]}
    assert server.get("/models/a").json() == described
    assert server.get("/models").json()["models"] == [described, {"modelName": "b", "modelUrl": b["url"]}]
    for name in "abab":
        assert {tuple(answer[:2]) for answer in in_all_workers(server, name).values()} == {(name, f"late {name}")}
    remove(server, "a")
    for _ in range(10):
        invoke(server, "a", status=404)
    assert server.get("/models/a").status_code == 404
    assert invoke(server, "b")[0] == "b"
    load_model(server, a)
    assert invoke(server, "a")[0] == "a"
    assert server.post(json=1).status_code == 404
    assert server.status("/ping") == 200


NAMES = ["a b", "a/b", "a%2Fb", "..", "a/..", "/etc/passwd", "ü€", "?x=1", "#", "x" * 900, "invoke", "a/invoke"]
NAMES += ["\n", "a//b", "//", ".", "models", "NaN", "'\"<>&;", "a/../..", "x" * 8000]


def test_model_names_are_opaque(serve: Callable[..., Server], root: Path) -> None:
    server = serve(1)
    for number, name in enumerate(NAMES):
        load_model(server, put(root, name, str(number)))
    for name in UNROUTABLE:  # what is refused when it is loaded is what nginx would refuse for ever
        assert "model_name" in load_model(server, {"model_name": name, "url": "/x"}, 400)["message"]
        address = f"/models/{quote(name, safe='')}"
        answer = server.send(f"GET {address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 "), (name, answer)
    for name in NAMES:
        path = f"/models/{quote(name, safe='')}"
        head = f"{{}} {path}{{}} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {{}}\r\n\r\n"
        # By bytes of our own: clients such as requests tidy an address before they send it.
        described = server.send(head.format("GET", "", 0).encode())
        assert b" 200 " in described.partition(b"\r\n")[0], (name, described)
        assert b'"modelName"' in described
        request = head.format("POST", "/invoke", 1).replace("Host: x", "Host: x\r\nContent-Type: text/csv")
        answer = server.send(request.encode() + b"x")
        assert b" 200 " in answer.partition(b"\r\n")[0], (name, answer)
        assert b" 405 " in server.send(head.format("GET", "/invoke", 0).encode()).partition(b"\r\n")[0]
    assert len(server.get("/models").json()["models"]) == len(NAMES)
    for method in ("GET", "DELETE", "PUT", "HEAD"):
        refused = server.request(method, "/models/a/invoke")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert server.send(b"GET /models/%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 404")


def test_list_models_is_paged(serve: Callable[..., Server], root: Path) -> None:
    server = serve(2)
    names = [f"m{number:03}" for number in range(105)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: load_model(server, put(root, name)), names))
    first = server.get("/models").json()
    second = server.get("/models", params={"next_page_token": first["nextPageToken"]}).json()
    assert [model["modelName"] for model in first["models"] + second["models"]] == names
    assert "nextPageToken" not in second
    assert server.get("/models", params={"next_page_token": "_w=="}).status_code == 400
    assert len(server.get("/models?limit=7").json()["models"]) == 7
    assert server.get(f"/models?limit={'9' * 5000}").status_code == 400


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([], "model_name"),
        ({"model_name": "a"}, "url"),
        ({"model_name": "", "url": "x"}, "model_name"),
        ({"model_name": "a", "url": "/nowhere"}, "nothing"),
        ({"model_name": "a", "url": "\0"}, "nothing"),
        ({"model_name": "a", "url": "{root}"}, "not below"),
        ({"model_name": "a", "url": "{root}/models"}, "not below"),
        ({"model_name": "a", "url": "{root}/models/../code"}, "not below"),
        ({"model_name": "a", "url": "{root}/models/link"}, "not below"),
        ({"model_name": "a", "url": "{root}/models/climbs.tar.gz"}, "would not stay"),
        ({"model_name": "a", "url": "{root}/models/absolute.tar.gz"}, "would not stay"),
        ({"model_name": "a", "url": "{root}/models/symlink.tar.gz"}, "link or a device"),
        ({"model_name": "a", "url": "{root}/models/device.tar.gz"}, "link or a device"),
        ({"model_name": "a", "url": "{root}/models/cut.tar.gz"}, "cut off"),
        ({"model_name": "a", "url": "{root}/models/text"}, "a folder or one of"),
        ({"model_name": "a", "url": "{root}/models/deep.tar.gz"}, "folders; it may lie in"),
        ({"model_name": "a", "url": "{root}/models/clash.tar.gz"}, "cannot be unpacked"),
        ({"model_name": "a", "url": "{root}/models/long.tar.gz"}, "cannot be unpacked"),
    ],
)
def test_failed_load_is_explained_and_leaves_nothing(shared: Server, wanted: Any, words: str) -> None:
    if isinstance(wanted, dict):
        wanted = {key: value.replace("{root}", str(shared.root)) for key, value in wanted.items()}
    assert words in load_model(shared, wanted, 400)["message"]
    assert shared.get("/models").json() == {"models": []}
    assert left(shared) == []


def test_archive_that_does_not_fit_is_507_and_leaves_nothing(shared: Server) -> None:
    wanted = {"model_name": "a", "url": str(shared.root / "models" / "bomb.tar.gz")}
    assert "more than the 100 MB" in load_model(shared, wanted, 507)["message"]
    assert left(shared) == []


def test_error_whose_str_fails_is_reported(shared: Server) -> None:
    code = shared.root / "models" / "unspeakable" / "code"
    code.mkdir(parents=True)
    script = "class E(Exception):\n    def __str__(self): raise ValueError\ndef model_fn(model_dir): raise E()\n"
    (code / "inference.py").write_text(script)
    for _ in range(2):  # the name is free again
        reply = load_model(shared, {"model_name": "a", "url": str(code.parent)}, 500)
        assert "E: <exception str() failed>" in reply["message"]


def left(server: Server) -> list[str]:
    """What there is in the run's folder of models, locks and unpacked archives."""
    (run,) = (server.root / "tmp").glob("byo-serve-*")
    return [str(path) for name in ("models", "unpacked") for path in (run / name).rglob("*")]


@pytest.fixture(scope="module")
def shared(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("shared") / "ml"
    models = root / "models"
    models.mkdir(parents=True)
    (root / "code").mkdir()
    (models / "link").symlink_to("/etc")
    (models / "text").write_text("x")
    for name, member in {
        "climbs": tarfile.TarInfo("../../evil"),
        "absolute": tarfile.TarInfo("/tmp/evil"),  # noqa: S108
        "symlink": _special("link", tarfile.SYMTYPE),
        "device": _special("device", tarfile.CHRTYPE),
    }.items():
        with tarfile.open(models / f"{name}.tar.gz", "w:gz") as tar:
            tar.addfile(member, io.BytesIO())
    for name, paths in {"deep": ["d/" * 1100 + "x"], "clash": ["a", "a/b"], "long": ["x" * 300]}.items():
        with tarfile.open(models / f"{name}.tar.gz", "w:gz") as tar:
            for path in paths:
                tar.addfile(tarfile.TarInfo(path), io.BytesIO())
    with tarfile.open(models / "bomb.tar.gz", "w:gz", compresslevel=1) as tar:
        zeros = tarfile.TarInfo("zeros")
        zeros.size = 150 << 20
        tar.addfile(zeros, io.BytesIO(bytes(zeros.size)))
    (models / "cut.tar.gz").write_bytes((models / "climbs.tar.gz").read_bytes()[:20])
    options = {"MODEL_HANDLER": "", "SAGEMAKER_MULTI_MODEL": "true", "MODEL_SERVER_MODELS_MEMORY_IN_MB": "100"}
    (root / "tmp").mkdir()
    return start_for_module(root, **options, TMPDIR=str(root / "tmp")).ready()


def _special(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_archive_is_unpacked_on_load_and_removed_on_unload(serve: Callable[..., Server], root: Path) -> None:
    server = serve()
    wanted = put(root, "packed")
    archive = root / "models" / "packed.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(wanted["url"], ".")
    load_model(server, wanted | {"url": str(archive)})
    assert all(answer[0] == "packed" for answer in in_all_workers(server, "packed").values())
    assert server.get("/models/packed").json()["modelUrl"] == str(archive)
    remove(server, "packed")
    invoke(server, "packed", status=404)


def test_loading_a_model_does_not_block_others(serve: Callable[..., Server], root: Path) -> None:
    server = serve(1)
    load_model(server, put(root, "quick"))
    slow, quick = put(root, "slow", LOAD_S=2), put(root, "another")
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(load_model, server, slow)
        time.sleep(0.3)
        began = time.monotonic()
        invoke(server, "quick")
        load_model(server, quick)
        load_model(server, slow, 409)
        assert time.monotonic() - began < 1
        assert not loading.done()
        loading.result()
    invoke(server, "slow")


def test_predict_of_a_model_does_not_block_others(serve: Callable[..., Server], root: Path) -> None:
    server = serve(1)
    load_model(server, put(root, "a"))
    load_model(server, put(root, "b"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(invoke, server, "a", "sleep 1")
        time.sleep(0.2)
        invoke(server, "b")
        assert not slow.done()
        slow.result()


def test_unload_frees_memory_in_all_workers_before_it_answers(serve: Callable[..., Server], root: Path) -> None:
    server = serve(2)
    load_model(server, put(root, "large", MB=200))
    in_all_workers(server, "large")
    assert all(resident(pid) > 200 for pid in server.workers())
    remove(server, "large")
    assert all(resident(pid) < 150 for pid in server.workers())


def test_unload_waits_for_requests_in_flight(serve: Callable[..., Server], root: Path) -> None:
    server = serve(2)
    load_model(server, put(root, "a"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(invoke, server, "a", "sleep 1")
        time.sleep(0.3)
        remove(server, "a")
        assert slow.done() or slow.result(0.2)
    invoke(server, "a", status=404)


def test_replaced_worker_has_the_same_models(serve: Callable[..., Server], root: Path) -> None:
    server = serve(2)
    for name in "abc":
        load_model(server, put(root, name))
    remove(server, "b")
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    server.until(lambda: server.status("/models") == 200, "a worker is there again")
    assert [model["modelName"] for model in server.get("/models").json()["models"]] == ["a", "c"]
    assert invoke(server, "a")[0] == "a"
    invoke(server, "b", status=404)
    remove(server, "a")
    load_model(server, {"model_name": "a", "url": str(root / "models" / "a" / "model")})


def test_least_recently_used_model_is_evicted_for_a_new_one(serve: Callable[..., Server], root: Path) -> None:
    server = serve(1, MODEL_SERVER_MODELS_MEMORY_IN_MB="400")
    for name in "abcdef":
        wanted = put(root, name, MB=100)
        (Path(wanted["url"]) / "weights").write_bytes(bytes(100 << 20))  # by which a model's need is foreseen
        load_model(server, wanted)
    (pid,) = server.workers()
    assert resident(pid) < 400
    for name in "abcdef":
        assert invoke(server, name)[3] == 100 << 20
        assert resident(pid) < 400
    wanted = put(root, "huge")
    with (Path(wanted["url"]) / "weights").open("wb") as weights:
        weights.truncate(500 << 20)
    assert "not enough memory" in load_model(server, wanted, 507)["message"]
    load_model(server, put(root, "fails", MB=-1), 507)
    assert len(server.get("/models").json()["models"]) == 6


def test_model_that_failed_to_load_is_not_listed(serve: Callable[..., Server], root: Path) -> None:
    server = serve(2)
    empty = root / "models" / "empty" / "model"
    empty.mkdir(parents=True)
    broken = put(root, "broken")
    (Path(broken["url"]) / "code" / "word.py").write_text("WORD = (")
    assert "cannot be loaded" in load_model(server, broken, 500)["message"]
    (Path(broken["url"]) / "code" / "word.py").write_text("WORD = 'mended'")
    load_model(server, broken)
    assert invoke(server, "broken")[0] == "mended"


@pytest.mark.slow
def test_concurrent_load_invoke_unload_stay_consistent(serve: Callable[..., Server], root: Path) -> None:
    """Loads, removals and requests for the same few models from all sides, while workers are killed."""
    server = serve(2)
    wanted = [put(root, name) for name in "abcd"]
    stop = time.monotonic() + 8
    seen: list[tuple[str, int]] = []

    def act(seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311
        while time.monotonic() < stop:
            one = choose.choice(wanted)
            path = f"/models/{one['model_name']}"
            with contextlib.suppress(requests.exceptions.ChunkedEncodingError):  # killed in the middle of an answer
                ask(choose.choice(["load", "remove", "invoke", "invoke", "invoke"]), one, path)

    def ask(what: str, one: dict[str, str], path: str) -> None:
        match what:
            case "load":
                seen.append(("load", server.post("/models", json=one).status_code))
            case "remove":
                seen.append(("remove", server.request("DELETE", path).status_code))
            case _:
                answer = server.post(f"{path}/invoke", data="x", headers={"Content-Type": "text/csv"})
                seen.append(("invoke", answer.status_code))
                assert answer.status_code != 200 or answer.json()[0] == one["model_name"]

    with ThreadPoolExecutor(8) as pool:
        acting = [pool.submit(act, seed) for seed in range(8)]
        for _ in range(2):
            time.sleep(2.5)
            os.kill(server.workers()[0], signal.SIGKILL)
        for future in acting:
            future.result()
    assert ("load", 200) in seen
    assert ("invoke", 200) in seen
    # 503: its worker was killed.
    assert set(seen) <= {
        ("load", 200),
        ("load", 409),
        ("load", 503),
        ("remove", 200),
        ("remove", 404),
        ("remove", 409),
        ("remove", 503),
        ("invoke", 200),
        ("invoke", 404),
        ("invoke", 503),
    }, (Counter(seen), [line for line in server.log().splitlines() if "ERROR" in line][:3])
    server.until(lambda: len(server.workers()) == 2, "both workers are there")
    there = {model["modelName"] for model in server.get("/models").json()["models"]}
    for one in wanted:
        if one["model_name"] in there:
            assert set(in_all_workers(server, one["model_name"])) == set(server.workers())
            remove(server, one["model_name"])
        else:
            load_model(server, one)


def test_eviction_during_unload_does_not_resurrect_the_model(serve: Callable[..., Server], root: Path) -> None:
    server = serve(1, MODEL_SERVER_MODELS_MEMORY_IN_MB="210")
    wanted = {name: put(root, name, MB=100) for name in "ab"}  # there is room for one
    for one in wanted.values():
        with (Path(one["url"]) / "weights").open("wb") as weights:
            weights.truncate(100 << 20)
    load_model(server, wanted["b"])
    with ThreadPoolExecutor(3) as pool:
        for attempt in range(8):
            load_model(server, wanted["a"])
            assert invoke(server, "b")[0] == "b"
            path, headers = "/models/a/invoke", {"Content-Type": "text/csv"}
            asking = [pool.submit(server.post, path, data="x", headers=headers) for _ in range(3)]
            time.sleep(attempt % 4 / 1000)  # a window of some milliseconds, which is not known better
            remove(server, "a")
            invoke(server, "a", status=404)
            assert {future.result().status_code for future in asking} <= {200, 404}


@pytest.mark.slow
def test_unloaded_version_never_answers_again(serve: Callable[..., Server], root: Path) -> None:
    """Two workers without room for all models, and clients that ask for them while their versions change."""
    server = serve(2, MODEL_SERVER_MODELS_MEMORY_IN_MB="400")
    stop = threading.Event()
    oldest = {"a": 0, "b": 0, "c": 0}  # the version that a request which is sent now may be answered with at the least
    wrong: list[str] = []
    seen: Counter[int] = Counter()

    def version(name: str, number: int) -> dict[str, str]:
        wanted = put(root, f"{name} {number}", f"{name}{number}", MB=60)
        (Path(wanted["url"]) / "weights").write_bytes(bytes(60 << 20))
        return wanted | {"model_name": name}

    def change(name: str) -> None:
        for number in itertools.count(1):
            wanted = version(name, number)
            while (answer := server.post("/models", json=wanted)).status_code == 507:
                pass  # the others are in use at this moment
            assert answer.status_code == 200, answer.text
            if stop.wait(0.2):
                return
            remove(server, name)
            oldest[name] = number + 1
            shutil.rmtree(root / "models" / f"{name}{number}")

    def ask(seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311
        while not stop.is_set():
            name = choose.choice("abc")
            least = oldest[name]
            answer = server.post(f"/models/{name}/invoke", data="x", headers={"Content-Type": "text/csv"})
            seen[answer.status_code] += 1
            if answer.status_code == 200:
                named, number = answer.json()[0].split()
                if named != name or int(number) < least:
                    wrong.append(f"{answer.text}, not {name} {least}")

    with ThreadPoolExecutor(9) as pool:
        changing = [pool.submit(change, name) for name in oldest]
        asking = [pool.submit(ask, seed) for seed in range(6)]
        server.until(lambda: wrong or (min(oldest.values()) >= 4 and seen[200] >= 50), "versions have changed", 120)
        stop.set()
        for future in [*changing, *asking]:
            future.result()
    assert not wrong
    # 507 where the other models are all in use at that moment.
    assert set(seen) <= {200, 404, 507}, (seen, server.log()[-3000:])
    for name in oldest:
        remove(server, name)
    assert all(resident(pid) < 150 for pid in server.workers())
