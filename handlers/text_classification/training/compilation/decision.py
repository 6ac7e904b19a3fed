"""Whether to compile, and whether to stay compiled: pure functions of the job and of what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from byo_container.handlers.text_classification.training.compilation.measuring import Comparison

Setting = bool | Literal["auto"]
EAGER_PASSES = 12
"""Passes to measure before the compiler is asked."""
COMPILED_PASSES = 8
"""Compiled passes, over batches of shapes that were measured eagerly, to decide by."""
LEAST_SPEED = 1.02
"""Less is within the noise of a measurement."""
COMPILING_S = 60.0
"""What compiling takes as a rule, a minute where nothing is cached; the accounts have what it really took."""
GPU_SPEED = 1.2
"""What compiling gains at least on most GPUs with tensor cores. It decides only whether it is tried."""


@dataclass(frozen=True)
class Decision:
    """Whether, and why: for a line of the log."""

    compiled: bool
    why: str


def at_start(setting: Setting, has_gpu: bool) -> Decision:
    """Before the first step: whether it may come to compiling at all."""
    if setting is False:
        return Decision(False, "compile=false")
    if setting == "auto" and not has_gpu:
        return Decision(
            False, "on CPUs compiling has not paid in our measurements; compile=true tries it, and says what it gains"
        )
    return Decision(True, f"compile={str(setting).lower()}")


def after_eager(setting: Setting, seconds_left: float) -> Decision:
    """After EAGER_PASSES. `seconds_left`: how long the rest of the training would take without the compiler."""
    gain = seconds_left * (1 - 1 / GPU_SPEED)
    if setting is True:
        return Decision(True, "compile=true")
    if gain < COMPILING_S:
        return Decision(
            False,
            f"the rest of the training takes about {seconds_left / 60:.1f} minutes, too short for compiling "
            f"(about {COMPILING_S:.0f} s) to pay",
        )
    return Decision(True, f"the rest of the training takes about {seconds_left / 60:.0f} minutes, so it may pay")


def after_compiled(setting: Setting, found: Comparison) -> Decision:
    """After COMPILED_PASSES."""
    if found.speed >= LEAST_SPEED:
        return Decision(True, f"it is {found.speed:.2f} times as fast")
    if setting is True:
        return Decision(True, f"compile=true, though it has only {found.speed:.2f} times the speed")
    return Decision(False, f"compiled it had only {found.speed:.2f} times the speed")
