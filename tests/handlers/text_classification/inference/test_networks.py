"""Which precision is served in."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers", reason="text classification needs Transformers")

from byo_container.container.failure import JobError
from byo_container.container.hardware import Hardware
from byo_container.handlers.text_classification.inference.networks import Choice, choose, may_be_int8
from byo_container.handlers.text_classification.quantization import Finding

OLD, NEW = Hardware(), Hardware(cpu_flags=frozenset({"avx512_vnni", "avx512_bf16"}))
GPU = Hardware("H200", (9, 0), frozenset({"avx512_vnni"}))


@pytest.mark.parametrize(
    ("asked", "hardware", "looked"),
    [("auto", OLD, False), ("auto", NEW, True), ("auto", GPU, False), ("int8", OLD, True), ("float32", NEW, False)],
)
def test_the_folder_is_looked_into_where_it_matters(asked: str, hardware: Hardware, looked: bool) -> None:
    assert may_be_int8(asked, hardware) is looked


@pytest.mark.parametrize(
    ("asked", "hardware", "int8", "expected"),
    [
        ("auto", NEW, Finding.USABLE, Choice("int8")),
        ("auto", NEW, Finding.MISSING, Choice("bfloat16")),
        ("auto", OLD, Finding.MISSING, Choice("float32")),
        ("auto", GPU, Finding.MISSING, Choice("bfloat16")),
        ("int8", OLD, Finding.USABLE, Choice("int8")),
        ("float16", NEW, Finding.MISSING, Choice("float16")),
    ],
)
def test_the_fastest_is_the_default(asked: str, hardware: Hardware, int8: Finding, expected: Choice) -> None:
    assert choose(asked, hardware, int8) == expected


@pytest.mark.parametrize("finding", [Finding.DAMAGED, Finding.OTHER_WEIGHTS, Finding.NO_RUNTIME])
def test_a_file_that_cannot_be_used_is_told_of(finding: Finding) -> None:
    assert choose("auto", NEW, finding) == Choice("bfloat16", f"{finding.value}, so the model computes in bfloat16")
    with pytest.raises(JobError, match=r"MODEL_PRECISION is int8, and model_int8\.onnx .*; python -m .* makes it"):
        choose("int8", NEW, finding)
