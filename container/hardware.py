"""What this machine computes fast in, and whether it has the compiler that torch.compile needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PrecisionName = Literal["fp32", "bf16", "fp16"]
BF16_CPU = ("avx512_bf16", "amx_bf16", "bf16")
"""The flags in /proc/cpuinfo of processors that multiply bfloat16: x86's, and Arm's."""
INT8_CPU = ("avx512_vnni", "avx_vnni", "amx_int8", "i8mm")
"""The flags of processors that multiply 8-bit integers: x86's, and Arm's."""
AMPERE = (8, 0)  # the first GPUs that multiply bfloat16
VOLTA = (7, 0)  # the first that multiply half precision faster than single precision


@dataclass(frozen=True)
class Hardware:
    """What the precision depends on."""

    gpu: str = ""
    """Its name; empty without one."""
    capability: tuple[int, int] = (0, 0)
    """NVIDIA's compute capability."""
    cpu_flags: frozenset[str] = frozenset()

    @property
    def best(self) -> PrecisionName:
        """The mixed precision to prefer; fp32 where there is none that pays."""
        if self.gpu:
            return "bf16" if self.capability >= AMPERE else "fp16" if self.capability >= VOLTA else "fp32"
        return "bf16" if self.cpu_flags & set(BF16_CPU) else "fp32"

    @property
    def has_fast_int8(self) -> bool:
        """Whether 8-bit weights are the fastest."""
        return not self.gpu and bool(self.cpu_flags & set(INT8_CPU))

    def __str__(self) -> str:
        if self.gpu:
            return f"the {self.gpu} (compute capability {self.capability[0]}.{self.capability[1]})"
        found = [flag for flag in BF16_CPU if flag in self.cpu_flags]
        return f"the CPU ({', '.join(found)})" if found else "the CPU (without avx512_bf16 or amx_bf16)"


def this_hardware(cpuinfo: Path = Path("/proc/cpuinfo")) -> Hardware:
    """That of this process."""
    import torch

    if torch.cuda.is_available():
        return Hardware(torch.cuda.get_device_name(), torch.cuda.get_device_capability())
    return Hardware(cpu_flags=cpu_flags(cpuinfo))


def cpu_flags(cpuinfo: Path) -> frozenset[str]:
    """The flags (x86) or features (Arm) of the first processor; none where the file cannot be read."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features")))
    return frozenset(next(found, "").split())


def missing_compiler(has_gpu: bool, environ: Mapping[str, str] = os.environ) -> str | None:
    """What torch.compile lacks on this machine; None where it can compile. Triton compiles C for GPUs, Inductor C++ for
    CPUs; CC and CXX name other compilers than the usual ones."""
    named = environ.get("CC" if has_gpu else "CXX")
    usual = ("cc", "gcc", "clang") if has_gpu else ("g++", "clang++")
    known = (named,) if named else usual
    if any(shutil.which(name) for name in known):
        return None
    language = "C" if has_gpu else "C++"
    return f"torch.compile needs a {language} compiler, and there is no {' or '.join(known)} on the PATH"
