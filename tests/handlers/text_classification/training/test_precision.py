"""The precision follows from what the job asks for and what the hardware has."""

from __future__ import annotations

import pytest

from byo_container.container.failure import JobError
from byo_container.container.hardware import Hardware
from byo_container.handlers.text_classification.training.precision import choose

PLAIN = Hardware(cpu_flags=frozenset({"avx2", "avx512f"}))
ZEN4 = Hardware(cpu_flags=frozenset({"avx2", "avx512_bf16"}))
GRAVITON = Hardware(cpu_flags=frozenset({"asimd", "bf16"}))
T4, A100, P100 = (Hardware(name, number) for name, number in (("T4", (7, 5)), ("A100", (8, 0)), ("P100", (6, 0))))


@pytest.mark.parametrize(
    ("fp16", "bf16", "hardware", "expected"),
    [
        (None, None, PLAIN, "fp32"),
        (None, None, ZEN4, "bf16"),
        (None, None, GRAVITON, "bf16"),
        (None, None, T4, "fp16"),
        (None, None, A100, "bf16"),
        (None, None, P100, "fp32"),
        (True, None, ZEN4, "bf16"),
        (True, None, T4, "fp16"),
        (True, None, A100, "bf16"),
        (True, False, A100, "fp16"),
        (None, True, A100, "bf16"),
        (None, True, ZEN4, "bf16"),
        (False, None, A100, "fp32"),
        (None, False, ZEN4, "fp32"),
    ],
)
def test_precision(fp16: bool | None, bf16: bool | None, hardware: Hardware, expected: str) -> None:
    chosen = choose(fp16, bf16, hardware)
    assert chosen.name == expected
    assert chosen.needs_scaler == (expected == "fp16")
    assert chosen.reason


@pytest.mark.parametrize(
    ("fp16", "bf16", "hardware", "why"),
    [
        (True, None, PLAIN, r"fp16=true, and the CPU \(without avx512_bf16 or amx_bf16\) does not compute"),
        (True, None, P100, r"fp16=true, and the P100 \(compute capability 6.0\) does not compute"),
        (None, True, PLAIN, "bf16=true, and the CPU"),
        (None, True, T4, "bf16=true, and the T4 .*; fp16=true would work; leave bf16 out"),
        (True, False, ZEN4, "has mixed precision in bfloat16 only"),
    ],
)
def test_refused_with_a_reason(fp16: bool | None, bf16: bool | None, hardware: Hardware, why: str) -> None:
    with pytest.raises(JobError, match=why):
        choose(fp16, bf16, hardware)
