"""What the machine of a script can compute with, and whether its job asks for the compiler."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from byo_container.container.hardware import missing_compiler, this_hardware

COMPILER_FLAG = "sagemaker_training_compiler_enabled"


@dataclass(frozen=True)
class Machine:
    has_gpu: bool = False
    has_bfloat16: bool = False
    """Whether the CPU has instructions for it."""
    has_tensorboard: bool = False
    """Whether a package that writes its events is installed."""
    compile: bool = False
    """Whether the job asks for SageMaker Training Compiler."""
    compiler: bool = False
    """Whether there is the compiler that torch.compile needs: of C++ for CPUs, of C for GPUs."""


def this_machine(environ: Mapping[str, str] = os.environ) -> Machine:
    import torch

    has_gpu = torch.cuda.is_available()
    return Machine(
        has_gpu=has_gpu,
        has_bfloat16=torch.cuda.is_bf16_supported() if has_gpu else this_hardware().best == "bf16",
        has_tensorboard=any(importlib.util.find_spec(name) for name in ("tensorboardX", "tensorboard")),
        compile=asks_for_compiler(environ),
        compiler=missing_compiler(has_gpu, environ) is None,
    )


def asks_for_compiler(environ: Mapping[str, str]) -> bool:
    """Whether the SDK's `compiler_config` has switched the compiler on."""
    try:
        value = json.loads(environ.get("SM_FRAMEWORK_PARAMS") or "{}").get(COMPILER_FLAG)
    except ValueError:
        return False
    return str(value).lower() == "true"
