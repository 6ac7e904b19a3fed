"""In which precision a job computes: a pure function of what it asks for and what the hardware has."""

from __future__ import annotations

from dataclasses import dataclass

from byo_container.container.failure import JobError
from byo_container.container.hardware import Hardware, PrecisionName


@dataclass(frozen=True)
class Precision:
    """The precision, and why: a line for the log."""

    name: PrecisionName
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
