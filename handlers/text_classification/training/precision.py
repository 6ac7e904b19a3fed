"""In which precision a job computes: a pure function of what it asks for and what the hardware has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from byo_container.container.failure import JobError

Name = Literal["fp32", "bf16", "fp16"]
BF16_CPU = ("avx512_bf16", "amx_bf16", "bf16")
"""The flags in /proc/cpuinfo of processors that multiply bfloat16: x86's, and Arm's."""
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
    def best(self) -> Name:
        """The mixed precision to prefer; fp32 where there is none that pays."""
        if self.gpu:
            return "bf16" if self.capability >= AMPERE else "fp16" if self.capability >= VOLTA else "fp32"
        return "bf16" if self.cpu_flags & set(BF16_CPU) else "fp32"

    def __str__(self) -> str:
        if self.gpu:
            return f"the {self.gpu} (compute capability {self.capability[0]}.{self.capability[1]})"
        found = [flag for flag in BF16_CPU if flag in self.cpu_flags]
        return f"the CPU ({', '.join(found)})" if found else "the CPU (without avx512_bf16 or amx_bf16)"


@dataclass(frozen=True)
class Precision:
    """The precision, and why: a line for the log."""

    name: Name
    reason: str

    @property
    def needs_scaler(self) -> bool:
        """Whether gradients would vanish without a GradScaler: half precision has few exponents."""
        return self.name == "fp16"


def choose(fp16: bool | None, bf16: bool | None, hardware: Hardware) -> Precision:
    """The precision for a job; None where the job does not say. Raises JobError where the hardware cannot do what the
    job asks for."""
    best = hardware.best
    if bf16:
        if best != "bf16":
            raise JobError(_refusal("bf16", hardware))
        return Precision("bf16", f"bf16=true, on {hardware}")
    if fp16:
        if best == "fp32":
            raise JobError(_refusal("fp16", hardware))
        if best == "bf16" and bf16 is None:
            return Precision(
                "bf16", f"fp16=true asks for mixed precision, and bfloat16 is as fast and more robust on {hardware}"
            )
        if not hardware.gpu:
            raise JobError(f"fp16=true and bf16=false: {hardware} has mixed precision in bfloat16 only; leave bf16 out")
        return Precision("fp16", f"fp16=true, on {hardware}")
    if fp16 is False or bf16 is False:
        return Precision("fp32", "mixed precision is turned off")
    if best == "fp32":
        return Precision("fp32", f"single precision is the fastest on {hardware}")
    return Precision(best, f"mixed precision, as it is faster on {hardware}; fp16=false turns it off")


def _refusal(name: str, hardware: Hardware) -> str:
    other = "; fp16=true would work" if name == "bf16" and hardware.best == "fp16" else ""
    return (
        f"{name}=true, and {hardware} does not compute in it faster than in single precision: bfloat16 takes an NVIDIA "
        "GPU of compute capability 8.0 or more, or a CPU with avx512_bf16 or amx_bf16, half precision a GPU of 7.0 or "
        f"more{other}; leave {name} out"
    )


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
