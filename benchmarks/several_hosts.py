"""What several hosts cost and bring: how soon all end, how much later they start, how much faster they are.

    python -m benchmarks.several_hosts [ends|starts|speed ...] [--rounds 3]

The hosts are network namespaces (tests/support/hosts.py): root, iproute2, torch, and Open MPI with sshd. `speed` gives
each host a core of its own, and wants a machine where nothing else runs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.report import table
from tests.support.hosts import Hosts, make_hosts
from tests.support.tree import TRAIN

DDP = (Path(__file__).parent.parent / "examples/ddp/train.py").read_text()
WAITS = """
import os, sys, time
open(os.environ["SM_OUTPUT_DATA_DIR"] + "/ready", "w").close()
while True:
    if os.path.exists(os.environ["SM_OUTPUT_DATA_DIR"] + "/fail"):
        sys.exit(3)
    time.sleep(0.01)
"""
# A step of about 200 ms on one core, the same on every rank; gradients of 1 MB.
STEP = """
import os, time
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
torch.set_num_threads(1)
for name, given in (("RANK", "OMPI_COMM_WORLD_RANK"), ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE")):
    os.environ.setdefault(name, os.environ.get(given, "0"))
os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
os.environ.setdefault("MASTER_PORT", "7777")
dist.init_process_group("gloo")
model = DistributedDataParallel(torch.nn.Sequential(*[torch.nn.Linear(512, 512)] * 4))
x = torch.randn(BATCH, 512)
def step():
    model.zero_grad()
    model(x).square().mean().backward()
for _ in range(3): step()
dist.barrier()
began = time.perf_counter()
for _ in range(30): step()
dist.barrier()
if dist.get_rank() == 0: print("step takes", (time.perf_counter() - began) / 30, "s", flush=True)
dist.destroy_process_group()
os._exit(0)  # PyTorch 2.13 sometimes aborts in its own threads when Python ends right after
"""
BATCH = 3000
Fault = Callable[[Hosts], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["ends", "starts", "speed", []])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, benchmark in (("ends", ends), ("starts", starts), ("speed", speed)):
        if not options.what or name in options.what:
            print(benchmark(options.rounds), flush=True)
    print(f"\nMedians of {options.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end.")


def ends(rounds: int) -> str:
    """Seconds from a fault on one host to the end of all others."""
    faults: dict[str, Fault] = {
        "a rank exits with 3": lambda hosts: (hosts[2].tree.paths.output_data / "fail").touch(),
        "a host dies": lambda hosts: hosts[2].kill(),
        "the first host dies": lambda hosts: hosts[1].kill(),
        "a cable is pulled": lambda hosts: hosts[2].cut(),
    }
    rows = []
    for launcher in ("single", "torchrun", "mpi"):
        for count in (2, 4):
            took = [[seconds_to_the_end(launcher, count, fault) for _ in range(rounds)] for fault in faults.values()]
            rows.append([f"{launcher}, {count} hosts", *(f"{median(each):.1f}" for each in took)])
    return table(["seconds to the end of all", *faults], rows)


def seconds_to_the_end(launcher: str, count: int, fault: Fault) -> float:
    given = {"launcher": launcher}
    with place() as folder, make_hosts(count, folder, code={"train.py": WAITS}, hyperparameters=given) as hosts:
        hosts.start()
        while not all((host.tree.paths.output_data / "ready").exists() for host in hosts.all):
            time.sleep(0.05)
        time.sleep(0.5)
        began = time.monotonic()
        fault(hosts)
        statuses = hosts.wait(60)
        if not all(statuses):
            raise RuntimeError(f"{launcher}: a failure must not end with {statuses}")
        return max(host.ended_at or 0.0 for host in hosts.all) - began


def starts(rounds: int) -> str:
    """Seconds from the start of two hosts to the first step of all ranks."""
    bare, ours = zip(*((first_step(by_train=False), first_step(by_train=True)) for _ in range(rounds)), strict=True)
    row = [
        "examples/ddp on 2 hosts",
        f"{median(bare):.1f}",
        f"{median(ours):.1f}",
        f"{median(ours) - median(bare):.1f}",
    ]
    return table(["seconds to the first step", "torchrun itself", "train", "ours"], [row])


def first_step(*, by_train: bool) -> float:
    with place() as folder:
        given = {"launcher": "torchrun", "epochs": "1", "steps": "2", "checkpoint": str(folder / "checkpoint.pt")}
        with make_hosts(2, folder, code={"train.py": DDP}, hyperparameters=given) as hosts:
            began = time.time()
            for rank, host in enumerate(hosts.all):
                words = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={rank}"]
                words += ["--nproc_per_node=1", "--master_addr=algo-1", "--master_port=7777", "code/train.py"]
                words += ["--epochs=1", "--steps=2", f"--checkpoint={given['checkpoint']}"]
                env = {"SM_MODEL_DIR": str(host.tree.paths.model), "GLOO_SOCKET_IFNAME": "eth0"}
                host.start(*([str(TRAIN)] if by_train else words), **({} if by_train else env))
            if any(hosts.wait(120)):
                raise RuntimeError(hosts[1].log)
            return max(float(found) for found in said(hosts, r"first step of rank \d at (\S+)")) - began


def speed(rounds: int) -> str:
    """How many more samples a second two hosts of one core take than one."""
    rows = []
    for launcher in ("torchrun", "mpi"):
        seconds = [(step_s(launcher, 1), step_s(launcher, 2)) for _ in range(rounds)]
        one, two = (median(column) for column in zip(*seconds, strict=True))
        rows.append([launcher, f"{one * 1000:.0f}", f"{two * 1000:.0f}", f"{2 * one / two:.2f}"])
    return table(["DDP, hosts of one core", "step on 1 ms", "step on 2 ms", "times as fast"], rows)


def step_s(launcher: str, count: int) -> float:
    script = STEP.replace("BATCH", str(BATCH))
    with (
        place() as folder,
        make_hosts(count, folder, code={"train.py": script}, hyperparameters={"launcher": launcher}) as hosts,
    ):
        for core, host in enumerate(hosts.all):
            host.start(shutil.which("taskset") or "taskset", "-c", str(core), str(TRAIN))
        if any(hosts.wait(180)):
            raise RuntimeError(hosts[1].log)
        return float(said(hosts, r"step takes (\S+) s")[0])


def said(hosts: Hosts, pattern: str) -> list[str]:
    return [found for host in hosts.all for found in re.findall(pattern, host.log)]


@contextmanager
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
