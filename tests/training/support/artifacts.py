"""Helpers of the tests of artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from byo_container.container.metrics import Row
from tests.support.tree import Tree

PRINTS_METRICS = """
for epoch in range(1, 4):
    print(f"epoch {epoch}/3: train_loss={1 / epoch}; val_loss={2 / epoch};")
"""

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def events(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of all scalars below a folder, by TensorBoard's own format."""
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  # the library is there
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[12 + length + 4 :]
    return found


def curve(name: str, count: int) -> list[Row]:
    return [Row(0.0, float(step), name, float(step)) for step in range(count)]


MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-P", "-m", "byo_container.training.artifacts.report", *sys.argv[1:]], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def run_report(tree: Tree, status: int = 0, **environ: str) -> int:
    """Writes the report of a job, and returns the most memory that this took, in bytes."""
    env = {**os.environ, "SAGEMAKER_BASE_DIR": str(tree.root), **environ}
    argv = [sys.executable, "-c", MEASURED, str(status)]  # one by one: the tests' own memory would be counted
    return int(subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, timeout=60).stdout)
