"""The environment of a script's processes: the master address and port, and devices."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from byo_container.training import notices
from byo_container.training.launchers.network_interface import claim_port
from tests.support.tree import Tree
from tests.training.support.jobs import job

MakeTree = Callable[..., Tree]

with_torch = pytest.mark.skipif(not find_spec("torch"), reason="PyTorch is not installed")
MEET = """
import os
import torch.distributed as dist
dist.init_process_group("gloo", rank=0, world_size=1)
assert dist.get_world_size() == 1
"""
SHOW = """
import json, os
if os.environ["RANK"] == "0":
    with open(os.environ["SM_MODEL_DIR"] + "/seen.json", "w") as stream:
        json.dump(dict(os.environ), stream)
"""


@with_torch
def test_process_group_of_one_without_a_launcher(ml: MakeTree) -> None:
    done = ml(code={"train.py": MEET}).train()
    assert done.status == 0, done.err


@pytest.mark.parametrize(("given", "warnings"), [({}, 0), ({"sagemaker_s3_output": "s3://bucket/out"}, 1)])
def test_intermediate_output_is_warned_about(given: dict[str, Any], warnings: int) -> None:
    found = notices.about_intermediate_output(job(**given))
    assert len(found) == warnings
    assert all("/opt/ml/output/intermediate is lost" in text and "/opt/ml/checkpoints" in text for text in found)


def test_single_host_takes_another_master_port_if_the_usual_one_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        other = claim_port(taken)
    assert other != taken
    assert claim_port(other) != other, "two jobs that start together would get one port"


@with_torch
def test_devices_are_counted_once_a_job_and_each_neuron_core_gets_a_rank(ml: MakeTree, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    for name, says in {"nvidia-smi": "", "neuron-ls": '[{"nc_count": 2}]'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >>{calls}\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)
    tree = ml(hyperparameters={"launcher": "torchrun"}, code={"train.py": SHOW})
    done = tree.train(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.status == 0, done.err
    assert sorted(calls.read_text().split()) == ["neuron-ls", "nvidia-smi"]
    seen = json.loads((tree.paths.model / "seen.json").read_text())
    assert (seen["SM_NUM_GPUS"], seen["SM_NUM_NEURONS"], seen["WORLD_SIZE"]) == ("0", "2", "2")
    assert (seen["MASTER_ADDR"], seen["MASTER_PORT"]) == ("127.0.0.1", seen["SM_MASTER_PORT"])
