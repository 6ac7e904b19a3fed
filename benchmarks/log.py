"""How fast a program may write its log: by itself, and through `train`, which passes it on and reads the metrics in it.

    python -m benchmarks.log [--megabytes 100] [--rounds 5]

The program writes lines of 100 bytes and takes the time itself, from its first line to its last. Where the log goes
to is read at once (a pipe), or takes all (a file, /dev/null). CPU seconds are those of all processes that `train`
needs, its start, TensorBoard's events and the report included, less those of the program by itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.processes import BenchmarkError
from benchmarks.report import machine, table
from benchmarks.servers import OUR_BIN

TARGET = 60  # MB/s
LINES = 10_000  # different ones, again and again
PROGRAM = """
import os, sys, time
def line(number):
    if number % EVERY == EVERY - 1:
        text = f"step {number}: train_loss=0.{number:06}; val_acc=0.9{number};"
    else:
        text = f"2026-01-31 12:00:00,123 INFO trainer: batch {number} of 10000, lr=0.001 - 12.5 samples/s"
    return text.ljust(99).encode() + b"\\n"
block = b"".join(map(line, range(LINES)))
begun = time.perf_counter()
for _ in range(BLOCKS):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view[:8192]):]  # as Python's print does
open(SECONDS_FILE, "w").write(str(time.perf_counter() - begun))
"""
NO_METRICS = 10 * LINES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cases: list[tuple[str, int, str, dict[str, str]]] = [
        ("no metrics, to a pipe", NO_METRICS, "pipe", {}),
        ("no metrics, to a file", NO_METRICS, "file", {}),
        ("no metrics, to /dev/null", NO_METRICS, "null", {}),
        ("every 100th has metrics, to a pipe", 100, "pipe", {}),
        ("every one has metrics, to a pipe", 1, "pipe", {}),
    ]
    if importlib.util.find_spec("torch"):
        cases.append(("every 100th has metrics, a rank of torchrun, to a pipe", 100, "pipe", {"launcher": "torchrun"}))
    rounds: list[list[list[float]]] = [[] for _ in cases]
    for _ in range(options.rounds):
        for case, (_, every, to, more) in zip(rounds, cases, strict=True):
            case.append(compare(options.megabytes, every, to, more))
    head = ["100-byte lines", "by itself MB/s", "through `train` MB/s", "ratio", "CPU s of ours"]
    print(table(head, [row(label, case) for (label, *_), case in zip(cases, rounds, strict=True)]))
    print(
        f"\nMedians of {options.rounds} rounds of {options.megabytes} MB; "
        f"target: through `train` ≥ {TARGET} MB/s. {machine()}"
    )


def row(label: str, rounds: list[list[float]]) -> list[str]:
    plain, ours, cpu = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(one[1] / one[0] for one in rounds)
    return [label, f"{plain:,.0f}", f"{ours:,.0f}", f"{ratio:.2f}", f"{cpu:.2f}"]


def compare(megabytes: int, every: int, to: str, hyperparameters: dict[str, str]) -> list[float]:
    """MB/s of the program by itself and through `train`, and the CPU seconds that this takes more."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        base = Path(folder)
        (base / "code").mkdir()
        program, seconds_file = base / "code" / "train.py", base / "seconds"
        values = f"EVERY, LINES, BLOCKS = {every}, {LINES}, {megabytes * 10_000 // LINES}\n"
        values += f"SECONDS_FILE = {str(seconds_file)!r}\n"
        program.write_text(values + PROGRAM)
        write_config(base / "input" / "config", hyperparameters)
        plain_cpu = run([sys.executable, str(program)], to, base)
        plain_s = float(seconds_file.read_text())
        ours_cpu = run([str(OUR_BIN / "train")], to, base)
        return [megabytes / plain_s, megabytes / float(seconds_file.read_text()), ours_cpu - plain_cpu]


def write_config(config: Path, hyperparameters: dict[str, str]) -> None:
    config.mkdir(parents=True)
    host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (config / "inputdataconfig.json").write_text("{}")
    (config / "resourceconfig.json").write_text(json.dumps(host))


def run(argv: list[str], to: str, base: Path) -> float:
    """Runs a command whose output goes `to` there, and returns the CPU seconds of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with ExitStack() as stack:
        errors = stack.enter_context((base / "errors").open("wb"))
        log = stack.enter_context((base / "log").open("wb"))
        target = {"pipe": subprocess.PIPE, "null": subprocess.DEVNULL, "file": log.fileno()}[to]
        # The job's name decides on its ports.
        env = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": base.name}
        process = stack.enter_context(subprocess.Popen(argv, stdout=target, stderr=errors, env=env))
        if process.stdout:
            while os.read(process.stdout.fileno(), 1 << 20):
                pass
        if process.wait():
            raise BenchmarkError(f"{argv[0]} failed: {(base / 'errors').read_text()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
