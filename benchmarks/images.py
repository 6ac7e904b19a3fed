"""What the images weigh, how long they take to build, and how long their containers take to start and to stop.

    python -m benchmarks.images [--handlers none,news,translation] [--rounds 5] [--build]

A first step is the first metric that training prints: for news that of the sample's headlines, for translation that of
a small network on the sample's sentences, for none of a script that prints one. --build measures builds too, which
downloads every package again: cold (docker's cache unused), and after a change of code (a module more, in a copy of the
repository). TORCH_INDEX is passed on to them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.processes import BenchmarkError, free_port
from benchmarks.report import machine, table
from byo_container.handlers.news import sample as headlines
from byo_container.handlers.translation import sample as sentences
from tests.end_to_end.images.local_scripts import SMALL_TRANSLATION

HERE = Path(__file__).resolve().parent.parent
BASE = "python:3.11-slim-bookworm"
SCRIPT = "print('step 1: loss=1.0;', flush=True)\n"
SERVED = "def model_fn(model_dir): return None\ndef transform_fn(model, data, content_type, accept): return data\n"
START_TIMEOUT_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--handlers", default="none,news,translation")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", action="store_true")
    options = parser.parse_args()
    columns = [
        "image",
        "MB",
        "MB beyond its base",
        "to the first 200 of /ping s",
        "to the first step s",
        "stop s",
        "status",
    ]
    builds = ["build cold s", "after a change of code s"] if options.build else []
    rows = [measure(name, options.rounds, options.build) for name in options.handlers.split(",")]
    print(table([*columns, *builds], rows))
    print(f"\nMedians of {options.rounds} rounds, of one build. {machine()}")


def measure(handlers: str, rounds: int, builds: bool) -> list[str]:
    tag = f"byo-container-benchmark:{handlers}"
    cold = [build(tag, handlers, HERE, "--no-cache")] if builds else []
    if not builds:
        build(tag, handlers, HERE)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        changed = [build(f"{tag}-changed", handlers, with_a_change(Path(scratch, "source")))] if builds else []
        job = a_job(handlers, Path(scratch, "ml"))
        steps = [to_first_step(tag, job) for _ in range(rounds)]  # the last one leaves the model that is served
        starts = [to_ping_and_stop(tag, job) for _ in range(rounds)]
    size, base = (int(docker("inspect", "-f", "{{.Size}}", image)) for image in (tag, BASE))
    statuses = {status for _, _, status in starts}
    times = [median(ping for ping, _, _ in starts), median(steps), median(stop for _, stop, _ in starts)]
    figures = [f"{size / 1e6:.0f}", f"{(size - base) / 1e6:.0f}", *(f"{seconds:.1f}" for seconds in times)]
    return [handlers, *figures, ", ".join(map(str, statuses)), *(f"{seconds:.0f}" for seconds in cold + changed)]


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True)  # noqa: S607
    if done.returncode:
        raise BenchmarkError(f"docker {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def build(tag: str, handlers: str, folder: Path, *options: str) -> float:
    """Seconds for a build."""
    arguments = [f"--build-arg=HANDLERS={handlers}"]
    if "TORCH_INDEX" in os.environ:
        arguments.append(f"--build-arg=TORCH_INDEX={os.environ['TORCH_INDEX']}")
    start = time.perf_counter()
    docker("build", "-q", "-t", tag, "-f", str(folder / "Dockerfile.cpu"), *options, *arguments, str(folder))
    return time.perf_counter() - start


def with_a_change(folder: Path) -> Path:
    """What git has of the repository, and a module more."""
    files = subprocess.run(["git", "ls-files"], cwd=HERE, capture_output=True, text=True, check=True).stdout  # noqa: S607
    for name in files.splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (HERE / name).is_file():
            shutil.copy(HERE / name, target)
    (folder / "container/changed.py").write_text(f"CHANGED = {uuid.uuid4().hex!r}\n")
    return folder


def a_job(handlers: str, root: Path) -> Path:
    shutil.copytree(HERE / "local_test/test_dir/input/config", root / "input/config")
    if handlers == "none":
        (root / "code").mkdir()
        (root / "code/train.py").write_text(SCRIPT)
        (root / "code/inference.py").write_text(SERVED)
        for name, content in (("hyperparameters", "{}"), ("inputdataconfig", "{}")):
            (root / f"input/config/{name}.json").write_text(content)
    elif handlers == "translation":
        sentences.write(root / "input/data/training", 300, 50)
        (root / "input/config/hyperparameters.json").write_text(json.dumps(SMALL_TRANSLATION))
    else:
        headlines.write(root / "input/data/training/newsCorpora.csv")
    for path in (root, *root.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return root


@contextlib.contextmanager
def container(image: str, command: str, options: Sequence[str]) -> Iterator[str]:
    name = f"byo-container-benchmark-{uuid.uuid4().hex[:12]}"
    docker("run", "-d", "--name", name, *options, image, command)
    try:
        yield name
    finally:
        docker("rm", "-f", "-v", name)


def to_first_step(image: str, job: Path) -> float:
    """Seconds from `docker run IMAGE train` to the first line with a metric."""
    shutil.rmtree(job / "checkpoints", ignore_errors=True)  # else it would resume a job that is done
    start = time.perf_counter()
    with container(image, "train", ["-v", f"{job}:/opt/ml"]) as name:
        words = ["docker", "logs", "-f", name]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as log:
            assert log.stdout is not None
            lines = []
            for line in log.stdout:
                lines.append(line)
                if "loss=" in line:
                    seconds = time.perf_counter() - start
                    docker("wait", name)
                    return seconds
    raise BenchmarkError(f"{image} train printed no metric:\n{''.join(lines)}")


def to_ping_and_stop(image: str, job: Path) -> tuple[float, float, int]:
    """Seconds from `docker run IMAGE serve` to the first 200 of /ping, those of `docker stop`, and the status."""
    port = free_port()
    start = time.perf_counter()
    options = ["-p", f"127.0.0.1:{port}:8080", "-v", f"{job / 'model'}:/opt/ml/model:ro"]
    with container(image, "serve", options) as name:
        while not pings(port):
            if time.perf_counter() > start + START_TIMEOUT_S:
                raise BenchmarkError(f"{image} serve: no 200 of /ping\n{docker('logs', name)}")
            time.sleep(0.02)
        started = time.perf_counter()
        docker("stop", "-t", "30", name)
        stopped = time.perf_counter()
        state = json.loads(docker("inspect", "-f", "{{json .State}}", name))
    return started - start, stopped - started, int(state["ExitCode"])


def pings(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


if __name__ == "__main__":
    main()
