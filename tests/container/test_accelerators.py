"""GPUs and Neuron cores, as their drivers' tools list them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from byo_container.container.accelerators import _output, count_accelerators, count_gpus, count_neurons
from byo_container.container.log import log
from tests.support.tree import Tree

MakeTree = Callable[..., Tree]


def command(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_gpus_are_counted_by_the_listing_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command(tmp_path, "nvidia-smi", '[ "$1" = --list-gpus ] && printf "GPU 0: H100\\n  MIG 1g\\nGPU 1: H100\\n"')
    assert count_gpus() == 2
    command(tmp_path, "nvidia-smi", "echo No devices were found; exit 6")
    assert count_gpus() == 2, "nvidia-smi runs once only"
    _output.cache_clear()
    assert count_gpus() == 0
    (tmp_path / "nvidia-smi").unlink()
    assert count_gpus() == 0


def test_hanging_driver_is_logged_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    command(tmp_path, "nvidia-smi", "exec /bin/sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("byo_container.container.accelerators.LISTING_S", 0.2)
    monkeypatch.setattr(log, "propagate", True)
    assert count_gpus() == 0
    assert "nvidia-smi does not answer, so its devices are not used: " in caplog.text


@pytest.mark.parametrize(("gpus", "cores", "processes"), [(2, 4, 2), (0, 4, 4), (0, 0, 0)])
def test_accelerators_are_gpus_or_else_neuron_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, cores: int, processes: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command(tmp_path, "nvidia-smi", f"printf '{'GPU 0: H100;' * gpus}' | /usr/bin/tr ';' '\\n'")
    command(tmp_path, "neuron-ls", f"echo '[{{\"nc_count\": {cores}}}]'")
    assert count_accelerators("ml.trn1.2xlarge") == processes


@pytest.mark.parametrize(
    ("instance_type", "listing", "cores"),
    [
        ("ml.trn1.2xlarge", '[{"nc_count": 2}, {"nc_count": 4}, {}]', 6),
        ("ml.trn1.2xlarge", "error=no driver", 0),
        ("ml.trn1.2xlarge", "3", 0),
        ("ml.trn1.2xlarge", "", 0),
        ("ml.trn1.2xlarge", None, 0),
        ("ml.trn2.48xlarge", None, 64),
    ],
)
def test_neuron_cores_are_counted_by_the_listing_of_neuron_ls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance_type: str, listing: str | None, cores: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if listing is not None:
        command(tmp_path, "neuron-ls", f"[ \"$1\" = -j ] && echo '{listing}'")
    assert count_neurons(instance_type) == cores
