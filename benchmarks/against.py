"""What a change costs: this checkout beside another one, such as the state before.

    git worktree add ../before REVISION && make -C ../before setup
    python -m benchmarks.against ../before [--rounds 5] [--seconds 5] [--only echo,script,…]

In every round each figure is measured for both, in turn, each by the programs of its own .venv. Figures are medians
over the rounds, ratios medians of the ratios within a round; below 1 this checkout does better. Every figure is a cost.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import memory, startup, wrk
from benchmarks.processes import Command, free_port, running
from benchmarks.report import machine, table
from benchmarks.servers import OUR_BIN, SERVERS, Server, serving
from benchmarks.serving_batch import CONNECTIONS as BATCH_CONNECTIONS
from benchmarks.serving_batch import SERVERS as BATCHING

Measure = Callable[[Path], dict[str, float]]
"""The figures of one side, whose programs lie in that folder."""
HOSTS = ("localhost", "127.0.0.1")
LIMIT = 1.03


def main() -> None:
    options = arguments()
    sides = (options.other.resolve() / ".venv" / "bin", OUR_BIN)
    seconds: float = options.seconds
    measures: dict[str, Measure] = {
        "echo": partial(load, SERVERS["ours"], "echo, handler", seconds),
        "script": partial(load, SERVERS["script"], "echo, inference.py", seconds),
        "batching": partial(load, BATCHING["ours"], "batching", seconds, connections=BATCH_CONNECTIONS),
        "serve": lambda programs: {"`serve` to /ping, s": startup.to_ping(SERVERS["ours"], programs)},
        "train": lambda programs: {"`train` to the handler's first line, s": startup.to_first_line(programs)},
        "memory": worker_memory,
        "hosts": lambda programs: {"two hosts, from start to end, s": two_hosts(programs)},
    }
    rounds: dict[str, list[tuple[float, float]]] = {}
    for number in range(options.rounds):
        for name in options.only or measures:
            order = sides if number % 2 else sides[::-1]  # whoever comes second finds warm caches
            seen = {programs: measures[name](programs) for programs in order}
            for label in seen[OUR_BIN]:
                rounds.setdefault(label, []).append((seen[sides[0]][label], seen[OUR_BIN][label]))
        print(f"round {number + 1}/{options.rounds}", file=sys.stderr, flush=True)
    print(table(["cost", "the other", "this", "ratio", f"most: {LIMIT}"], map(row, rounds, rounds.values())))
    print(f"\nMedians of {options.rounds} rounds. {machine()}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="a checkout with a .venv of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each measurement")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    return parser.parse_args()


def row(label: str, rounds: list[tuple[float, float]]) -> list[str]:
    before, after = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(after / before for before, after in rounds)
    return [label, f"{before:,.3g}", f"{after:,.3g}", f"{ratio:.3f}", "" if ratio <= LIMIT else "worse"]


def load(
    server: Server, label: str, seconds: float, programs: Path, connections: int = wrk.CONNECTIONS
) -> dict[str, float]:
    """Costs of a request under full load, in microseconds: of time, and of the processors' time."""
    with serving(server, programs) as served:
        seen = wrk.measure(served, seconds, connections, warm_up=seconds)
        return {f"{label}, µs a request": 1e6 / seen.rate, f"{label}, CPU µs a request": seen.cpu}


def worker_memory(programs: Path) -> dict[str, float]:
    """Proportional megabytes of the processes of an echo after 2 s of load."""
    with serving(SERVERS["ours"], programs) as served:
        wrk.run(served, seconds=2)
        sizes: dict[str, list[float]] = {}
        for role, pid in memory.roles(served):
            sizes.setdefault(f"PSS of {role}, MB", []).append(memory.memory(pid)[0])
    return {label: median(each) for label, each in sizes.items() if "nginx" not in label}


def two_hosts(programs: Path) -> float:
    """Seconds that a job of two hosts takes whose script does nothing."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        port = str(free_port())
        began = time.perf_counter()
        processes = [stack.enter_context(host(root / name, name, programs, port)) for name in HOSTS]
        statuses = [process.wait(60) for process in processes]
        if any(statuses):
            raise RuntimeError(f"the hosts ended with {statuses}")
        return time.perf_counter() - began


@contextmanager
def host(base: Path, name: str, programs: Path, port: str) -> Iterator[subprocess.Popen[bytes]]:
    files: Mapping[str, object] = {
        "hyperparameters": {},
        "inputdataconfig": {},
        "resourceconfig": {"current_host": name, "hosts": HOSTS, "network_interface_name": "lo"},
    }
    (base / "input/config").mkdir(parents=True)
    for file, content in files.items():
        (base / f"input/config/{file}.json").write_text(json.dumps(content))
    (base / "code").mkdir()
    (base / "code/train.py").write_text("pass\n")
    variables = {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_PEERS_PORT": port}
    with running(Command((str(programs / "train"),), env=variables), base / "log") as process:
        yield process


if __name__ == "__main__":
    main()
