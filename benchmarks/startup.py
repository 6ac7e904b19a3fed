"""How long a start takes that is ours: beyond the interpreter, the framework and the model.

    python -m benchmarks.startup [MODEL_DIR] [--rounds 7]

From starting `serve` to the first 200 of /ping, less what importing the handler and loading the
model takes in a fresh, plain Python; from starting `train` to the first line that a handler
prints, less the start of a Python that does nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.processes import BenchmarkError, Command, free_port, running, wait_until
from benchmarks.report import machine, table
from benchmarks.servers import ECHO, HERE, OUR_BIN, START_TIMEOUT, Place, Server, ask, our_model, tail

TARGET = 0.5  # seconds that are ours
PLAIN_LOAD = """
import importlib, json, pathlib, sys, time
start = time.perf_counter()
model_dir = pathlib.Path(sys.argv[1])
module, _, name = json.loads((model_dir / "handler.json").read_text())["handler"].partition(":")
getattr(importlib.import_module(module), name)().load(model_dir)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", nargs="?", type=Path, metavar="MODEL_DIR")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "`serve` to /ping, echo": (partial(to_ping, ECHO), lambda: 0.0),
        "`train` to the handler's first line": (to_first_line, bare_python),
    }
    if options.model_dir:
        news = our_model(options.model_dir)
        load = partial(plain_load, options.model_dir)
        pairs["`serve` to /ping, trained model"] = (partial(to_ping, news), load)
    seconds: dict[str, list[tuple[float, float]]] = {label: [] for label in pairs}
    for _ in range(options.rounds):
        for label, (whole, without_us) in pairs.items():
            seconds[label].append((whole(), without_us()))
    print(table(["", "whole s", "without us s", "ours s"], map(row, seconds, seconds.values())))
    print(f"\nMedians of {options.rounds} rounds; target: ours ≤ {TARGET} s. {machine()}")


def row(label: str, rounds: list[tuple[float, float]]) -> list[str]:
    whole, without_us = (median(column) for column in zip(*rounds, strict=True))
    ours = median(one[0] - one[1] for one in rounds)
    return [label, f"{whole:.2f}", f"{without_us:.2f}", f"{ours:.2f}"]


def to_ping(server: Server, programs: Path = OUR_BIN) -> float:
    """Seconds from starting `serve` to the first 200 of /ping, requested every 20 ms: requests more often take time
    from a model that is being loaded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        folder.chmod(0o755)
        place = Place(folder, free_port(), programs)
        (command,) = server.launch(place).commands
        start = time.perf_counter()
        process = stack.enter_context(running(command, folder / "log"))
        try:
            wait_until(partial(pings, place.port), [process], START_TIMEOUT, every=0.02)
        except BenchmarkError as failure:
            raise BenchmarkError(f"{server.label}: {failure}\n{tail(folder / 'log')}") from None
        return time.perf_counter() - start


def pings(port: int) -> bool:
    try:
        return ask(port, "/ping")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def to_first_line(programs: Path = OUR_BIN) -> float:
    """Seconds from starting `train` to the line that the echo handler prints at once."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        base = Path(folder)
        config = base / "input" / "config"
        config.mkdir(parents=True)
        host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        (config / "hyperparameters.json").write_text("{}")
        (config / "inputdataconfig.json").write_text("{}")
        (config / "resourceconfig.json").write_text(json.dumps(host))
        variables = {"SAGEMAKER_BASE_DIR": folder, "MODEL_HANDLER": "echo:Echo", "PYTHONPATH": str(HERE)}
        command = Command((str(programs / "train"),), env=variables)
        log = base / "log"
        start = time.perf_counter()
        with running(command, log) as process:
            wait_until(lambda: b"first line" in log.read_bytes(), [process], 60, every=0.002)
            return time.perf_counter() - start


def bare_python() -> float:
    """Seconds that a Python takes which does nothing."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - start


def plain_load(model_dir: Path) -> float:
    """Seconds to import the model's handler and to load the model, in a fresh plain Python."""
    argv = [sys.executable, "-c", PLAIN_LOAD, str(model_dir)]
    ran = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=HERE.parent)
    return float(ran.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
