"""A checkpoint that the first host has, on a host that lacks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.training import checkpoints, transfer
from tests.support.processes import free_port

HOST = """
import sys, torch
from pathlib import Path
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.training import checkpoints, transfer
number, folder = int(sys.argv[1]), Path(sys.argv[2])
transfer.BLOCK = 64
torch.distributed.init_process_group("gloo", rank=number, world_size=2)
found = checkpoints.newest(folder, {}, {}) if number == 0 else None
print(transfer.share(found, folder, Rank(number, 2, 0, 1)))
"""


def test_a_host_gets_the_files_that_it_lacks(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    path = checkpoints.begin(folders[0], 12)
    contents = {"model.safetensors": bytes(range(200)), "empty": b"", "optimizer.pt": b"x" * 128}
    for name, content in contents.items():
        (path / name).write_bytes(content)
    checkpoints.complete(path, {})
    damaged = checkpoints.begin(folders[1], 12)
    (damaged / "optimizer.pt").write_bytes(b"y")
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, str(number), str(folder)], env=env, stdout=subprocess.PIPE, text=True
        )
        for number, folder in enumerate(folders)
    ]
    said = [process.communicate(timeout=100)[0].strip() for process in started]
    assert said == [str(folder / "checkpoint-12") for folder in folders]
    copied = folders[1] / "checkpoint-12"
    assert isinstance(checkpoints.read(copied), dict)
    assert {name: (copied / name).read_bytes() for name in contents} == contents


def test_one_rank_has_nobody_to_share_with(tmp_path: Path) -> None:
    assert transfer.share(None, tmp_path, Rank()) is None
    assert transfer.share(tmp_path, tmp_path, Rank()) == tmp_path
