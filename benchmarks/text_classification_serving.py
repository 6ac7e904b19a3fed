"""A classifier's endpoint: requests a second of `serve` against the servers that its users would take.

    python -m benchmarks.text_classification_serving MODEL_DIR TEXTS [--only ours,mms,…] [--rounds 3] [--seconds 10]

MODEL_DIR is what `train` or `save_pretrained` left; TEXTS holds a `text;label` a line, such as emotion's test.txt. wrk
sends {"inputs": "a text"} over 16 connections, each text in its turn. Every server has the same model, two processes
(MLServer one, see there) with a core each, and batches where it can; LitServe and MLServer wait DELAY_MS for a batch to
fill, as they would not batch otherwise. `serve` takes the model's 8-bit weights where it has them, and once more it
computes in single precision, as the others do. Before it is measured, each must give the labels that `serve` gives.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import wrk
from benchmarks.processes import BenchmarkError, Command, free_port
from benchmarks.report import machine, table
from benchmarks.servers import (
    PEERS,
    WORKERS,
    Launch,
    Place,
    Served,
    Server,
    ask,
    environment,
    gunicorn,
    multi_model_server,
    ours,
    serving,
    versions,
)

SIZE = 32
DELAY_MS = 5  # of MLServer and LitServe, who do not batch without; `serve` has no need of it
CHECKED = 100  # texts whose labels are compared
SAME = 0.98  # and so many of them must be the same: bfloat16 and int8 decide otherwise where two are as likely
ONE_CORE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # for each of two processes
TARGETS = {"float32": "", "mms": "4", "litserve": "> 1", "mlserver": "3", "flask": "4"}


# --- the servers --------------------------------------------------------------------------------------------------


def servers(model_dir: Path) -> dict[str, Server]:
    """All of them by the names of --only."""

    def serve(place: Place) -> Launch:
        return ours(place, {"MODEL_HANDLER": "text_classification"}, model_dir)

    def float32(place: Place) -> Launch:
        return ours(place, {"MODEL_HANDLER": "text_classification", "MODEL_PRECISION": "float32"}, model_dir)

    def mms(place: Place) -> Launch:
        """Its handler service takes one request at a time."""
        return multi_model_server(place, "huggingface_toolkit_start.py", model_dir, ONE_CORE)

    def litserve(place: Place) -> Launch:
        argv = (str(place.port), str(model_dir), WORKERS, str(SIZE), str(DELAY_MS))
        script = str(PEERS / "litserve_huggingface.py")
        return Launch((Command((str(place.programs / "python"), script, *argv), env=ONE_CORE),))

    def flask(place: Place) -> Launch:
        command = gunicorn(place, "flask_pipeline:application", f"127.0.0.1:{place.port}", kind="sync")
        return Launch((replace(command, env={"MODEL_DIR": str(model_dir), **ONE_CORE}),))

    return {
        "ours": Server("byo-container: `serve`", serve),
        "float32": Server("byo-container: `serve`, MODEL_PRECISION=float32", float32),
        "mms": Server("sagemaker-huggingface-inference-toolkit + MMS", mms, "huggingface-toolkit"),
        "litserve": Server("LitServe, the same batches", litserve, "litserve-huggingface"),
        "mlserver": Server("MLServer, its Hugging Face runtime", mlserver(model_dir), "mlserver-huggingface"),
        "flask": Server("Flask + `pipeline`, gunicorn", flask),
    }


def mlserver(model_dir: Path) -> Callable[[Place], Launch]:
    """One process with a thread for each core: `parallel_workers` 1 fails at start, see servers.mlserver."""

    def launch(place: Place) -> Launch:
        settings = {"host": "127.0.0.1", "http_port": place.port, "grpc_port": free_port()}
        settings |= {"metrics_port": free_port(), "parallel_workers": 0, "debug": False}
        extra = {"task": "text-classification", "pretrained_model": str(model_dir)}
        model: dict[str, object] = {
            "name": "classifier",
            "implementation": "mlserver_huggingface_classifier.Classifier",
        }
        model |= {"parameters": {"extra": extra}, "max_batch_size": SIZE, "max_batch_time": DELAY_MS / 1000}
        (place.folder / "settings.json").write_text(json.dumps(settings))
        (place.folder / "model-settings.json").write_text(json.dumps(model))
        start = (str(place.programs / "mlserver"), "start", str(place.folder))
        return Launch((Command(start, env={"PYTHONPATH": str(PEERS)}),), path="/v2/models/classifier/infer")

    return launch


def with_texts(server: Server, texts: list[str]) -> Server:
    """The server, asked for these texts in turn."""

    def launch(place: Place) -> Launch:
        v2 = server.peer == "mlserver-huggingface"
        bodies = tuple(json.dumps(v2_request(text) if v2 else {"inputs": text}).encode() for text in texts)
        return replace(
            server.launch(place),
            body=bodies[0],
            bodies=bodies,
            answer=v2_label if v2 else lambda reply: reply[0]["label"],
            expected=None,
        )

    return replace(server, launch=launch)


def v2_request(text: str) -> dict[str, Any]:
    """By the V2 inference protocol, by the name of the pipeline's own parameter: MLServer makes of a batch of `args`,
    which its documentation shows, as many arguments, and fails."""
    tensor = {"name": "inputs", "shape": [1], "datatype": "BYTES", "data": [text]}
    return {"inputs": [{**tensor, "parameters": {"content_type": "str"}}]}


def v2_label(reply: Any) -> object:
    return json.loads(reply["outputs"][0]["data"][0])["label"]


# --- measuring ----------------------------------------------------------------------------------------------------


def main() -> int:
    options = arguments()
    lines = [line.rsplit(";", 1) for line in options.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts, truth = [text for text, _ in lines], [label for _, label in lines[:CHECKED]]
    all_servers = servers(options.model_dir.resolve())
    chosen = {name: with_texts(all_servers[name], texts) for name in options.only}
    with serving(with_texts(all_servers["ours"], texts)) as served:
        expected = labels(served)
    right = sum(one == other for one, other in zip(expected, truth, strict=True)) / len(truth)
    print(f"`serve` gives {right:.0%} of {len(truth)} texts the label of the file", file=sys.stderr, flush=True)
    loads: dict[str, list[wrk.Load]] = {name: [] for name in chosen}
    failures: dict[str, str] = {}
    for number, (name, server) in itertools.product(range(1, options.rounds + 1), chosen.items()):
        if name in failures:
            continue
        try:
            loads[name].append(measure(server, environment(server, options.cache), expected, options))
            print(f"round {number}  {name:<10}{loads[name][-1].rate:8,.1f} requests/s", file=sys.stderr, flush=True)
        except BenchmarkError as failure:
            failures[name] = str(failure)
            print(f"{name}: {failure}", file=sys.stderr, flush=True)
    print(report(chosen, loads, failures, options, len(texts)))
    return 1 if failures else 0


def arguments() -> argparse.Namespace:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    names = list(TARGETS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR")
    parser.add_argument("texts", type=Path, metavar="TEXTS")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["ours", *names], metavar=",".join(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load, for each measurement")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds of load before, at most")
    parser.add_argument("--cache", type=Path, default=caches / "byo-container" / "benchmarks")
    return parser.parse_args()


def labels(served: Served) -> list[object]:
    """What the server says about the first texts, one request at a time. BenchmarkError for an answer that is none."""
    found = []
    for body in served.launch.bodies[:CHECKED]:
        status, answer = ask(served.port, served.launch.path, body, timeout=60)
        if status != 200:
            raise BenchmarkError(f"answered {status}: {answer[:300]!r}")
        found.append(served.launch.answer(json.loads(answer)))
    return found


def measure(server: Server, programs: Path, expected: list[object], options: argparse.Namespace) -> wrk.Load:
    with serving(server, programs) as served:
        found = labels(served)
        same = sum(one == other for one, other in zip(found, expected, strict=True)) / len(expected)
        if same < SAME:
            raise BenchmarkError(f"{server.label}: only {same:.0%} of the labels are those of `serve`: {found[:5]}")
        wrk.warm(served, options.warm_up)
        return wrk.measure(served, options.seconds, warm_up=None)


# --- what came out ------------------------------------------------------------------------------------------------


def report(
    chosen: dict[str, Server],
    loads: dict[str, list[wrk.Load]],
    failures: dict[str, str],
    options: argparse.Namespace,
    texts: int,
) -> str:
    rows = []
    for name, server in chosen.items():
        if not loads[name]:
            rows.append([server.label, f"not measured: {failures[name].splitlines()[0]}", *[""] * 5])
            continue
        rate, p50, p99, cpu = (middle(loads[name], figure) for figure in ("rate", "p50", "p99", "cpu"))
        mine = loads.get("ours") if name != "ours" else None
        ratio = (
            f"{median(our.rate / its.rate for our, its in zip(mine, loads[name], strict=False)):.2f}" if mine else ""
        )
        rows.append(
            [server.label, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.0f}", f"{cpu / 1e3:.2f}", ratio, TARGETS.get(name, "")]
        )
    head = ["server", "requests/s", "p50 ms", "p99 ms", "CPU ms a request", "ours ÷ it", "target"]
    peers = "; ".join(filter(None, (versions(server) for server in chosen.values())))
    return (
        f"{table(head, rows)}\n\nwrk with {wrk.CONNECTIONS} connections for {options.seconds:.0f} s, {texts:,} texts; "
        f"medians of {options.rounds} rounds. {machine()} Peers: {peers}."
    )


def middle(loads: Iterable[wrk.Load], figure: str) -> float:
    return float(median(getattr(load, figure) for load in loads))


if __name__ == "__main__":
    sys.exit(main())
