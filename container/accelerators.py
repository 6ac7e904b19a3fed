"""GPUs and Neuron cores, as their drivers' tools list them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess

from byo_container.container.log import log

LISTING_S = 60.0  # a driver that hangs would hold the job for ever


def count_accelerators(instance_type: str) -> int:
    """How many GPUs this container may use, or else Neuron cores: a launcher starts a process for each."""
    return count_gpus() or count_neurons(instance_type)


def count_gpus() -> int:
    """The NVIDIA GPUs that this container may use: the lines of `nvidia-smi --list-gpus`, 0 without it."""
    return sum(line.startswith("GPU ") for line in _listing("nvidia-smi", "--list-gpus").splitlines())


def count_neurons(instance_type: str) -> int:
    """The Neuron cores of this container, as `neuron-ls -j` lists them, 0 without it."""
    if "trn2.48xlarge" in instance_type:
        return 64
    try:
        return sum(int(device.get("nc_count", 0)) for device in json.loads(_listing("neuron-ls", "-j") or "[]"))
    except (ValueError, TypeError, AttributeError):
        return 0


def _listing(program: str, *arguments: str) -> str:
    """The output of a program that lists devices; empty where it is not installed or does not answer."""
    path = shutil.which(program)
    return _output(path, *arguments) if path else ""


@functools.cache
def _output(*words: str) -> str:
    """Cached: the devices do not change, and a driver may take seconds to answer."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=LISTING_S).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s does not answer, so its devices are not used: %s", os.path.basename(words[0]), error)
        return ""
