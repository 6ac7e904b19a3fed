"""200 models in one server, loaded on demand, against the same model in a server of its own.

    python -m benchmarks.multi_model [--models 200] [--megabytes 1] [--requests 4000]

Every model brings an inference.py with a module of its own and a file of weights that it holds in memory. Each is
loaded by POST /models, called for the first time in every worker, then in turn with all others. Memory is the
proportional set size of all processes; what a model takes is the increase by its number, less its weights.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from subprocess import Popen
from typing import Any

from benchmarks.memory import memory
from benchmarks.processes import Command, descendants, free_port, running, wait_until
from benchmarks.report import machine, table
from benchmarks.servers import OUR_BIN, START_TIMEOUT

WORKERS = 2
BLOCK = 100  # requests
BODY = b'{"input": "Why Exercise Alone May Not Be the Key to Weight Loss"}'
INFERENCE = """
import json, os
from helper import NAME

def model_fn(model_dir):
    with open(os.path.join(model_dir, "weights"), "rb") as weights:
        return weights.read()

def input_fn(data, content_type):
    return json.loads(data)

def predict_fn(data, model):
    return {"result": data["input"], "by": NAME, "pid": os.getpid()}

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--megabytes", type=float, default=1.0, help="of weights in each model")
    parser.add_argument("--requests", type=int, default=4000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        for number in range(options.models):
            write_model(base / "models" / f"m{number}" / "model", f"m{number}", options.megabytes)
        write_model(base / "model", "one", options.megabytes)
        rows = measure(base, options)
    print(table([f"{options.models} models of {options.megabytes:g} MB of weights, {WORKERS} workers", ""], rows))
    print(f"\n{options.requests} requests of each kind, in turn, one after another. {machine()}")


def write_model(folder: Path, name: str, megabytes: float) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(INFERENCE)
    (folder / "code" / "helper.py").write_text(f"NAME = {name!r}\n")
    (folder / "weights").write_bytes(b"\1" * int(megabytes * 1e6))


def measure(base: Path, options: argparse.Namespace) -> list[list[str]]:
    """All figures. The latencies in turn, a block of each kind at a time: a machine is not always equally busy."""
    with serve(base, SAGEMAKER_MULTI_MODEL="true") as (client, process), serve(base) as (alone, _):
        empty = resident(process)
        loads = [load(client, base, f"m{number}") for number in range(options.models)]
        once = resident(process)
        firsts = [first_answer(client, f"m{number}") for number in range(options.models)]
        everywhere = resident(process)
        each: list[float] = []
        same: list[float] = []
        one: list[float] = []
        for number in range(0, options.requests, BLOCK):
            each += timed(client, [f"/models/m{n % options.models}/invoke" for n in range(number, number + BLOCK)])
            same += timed(client, ["/models/m0/invoke"] * BLOCK)
            one += timed(alone, ["/invocations"] * BLOCK)
    own = options.megabytes
    return [
        ["to load one, p50 / p99 ms", two(loads)],
        ["its first answer in a worker that has not loaded it, p50 / p99 ms", two(firsts)],
        ["memory a model beyond its weights, loaded in one worker, MB", f"{(once - empty) / options.models - own:.2f}"],
        ["the same, loaded in both, MB", f"{(everywhere - empty) / options.models - WORKERS * own:.2f}"],
        ["an answer, all models in turn, p50 / p99 ms", two(each)],
        ["an answer, one of them again and again, p50 / p99 ms", two(same)],
        ["an answer, one model in a server of its own, p50 / p99 ms", two(one)],
    ]


@contextmanager
def serve(base: Path, **environ: str) -> Iterator[tuple[http.client.HTTPConnection, Popen[bytes]]]:
    """A server on `base` that is ready, and a connection to it."""
    port = free_port()
    variables = {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": str(WORKERS),
        "MODEL_SERVER_ACCESS_LOG": "false",
        **environ,
    }
    with ExitStack() as stack:
        process = stack.enter_context(running(Command((str(OUR_BIN / "serve"),), env=variables), base / f"log-{port}"))
        wait_until(partial(pings, port), [process], START_TIMEOUT)
        yield http.client.HTTPConnection("127.0.0.1", port, timeout=60), process


def pings(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def load(client: http.client.HTTPConnection, base: Path, name: str) -> float:
    """Milliseconds."""
    body = json.dumps({"model_name": name, "url": str(base / "models" / name / "model")})
    return post(client, "/models", body.encode())[0]


def first_answer(client: http.client.HTTPConnection, name: str) -> float:
    """Asks over several connections at once until every worker has answered; milliseconds of the slowest."""
    others = [http.client.HTTPConnection(client.host, client.port, timeout=60) for _ in range(4)]
    slowest: dict[int, float] = {}
    with ThreadPoolExecutor(len(others)) as pool:
        while len(slowest) < WORKERS:
            for took, answer in pool.map(lambda one: post(one, f"/models/{name}/invoke", BODY), others):
                assert answer["by"] == name
                slowest[answer["pid"]] = max(slowest.get(answer["pid"], 0), took)
    for other in others:
        other.close()
    return max(slowest.values())


def timed(client: http.client.HTTPConnection, paths: list[str]) -> list[float]:
    return [post(client, path, BODY)[0] for path in paths]


def post(client: http.client.HTTPConnection, path: str, body: bytes) -> tuple[float, Any]:
    start = time.perf_counter()
    client.request("POST", path, body, {"Content-Type": "application/json"})
    answer = client.getresponse()
    text = answer.read()
    took = (time.perf_counter() - start) * 1000
    assert answer.status == 200, text
    return took, json.loads(text)


def resident(process: Popen[bytes]) -> float:
    """Megabytes of all of the server's processes."""
    return sum(memory(pid)[0] for pid in (process.pid, *descendants(process.pid)))


def two(milliseconds: list[float]) -> str:
    return f"{median(milliseconds):.2f} / {quantiles(milliseconds, n=100)[98]:.2f}"


if __name__ == "__main__":
    main()
