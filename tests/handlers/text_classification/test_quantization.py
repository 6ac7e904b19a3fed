"""8-bit weights, beside those they were made of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="text classification needs Transformers")
pytest.importorskip("onnxscript")

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification import TextClassification, quantization
from byo_container.handlers.text_classification.artifact import INT8
from byo_container.handlers.text_classification.quantization import Finding, open_session
from tests.handlers.text_classification.support import FAMILIES, classifier, tiny_model

PAIR = {"text": "i feel happy", "text_pair": "today"}
TEXTS = ["i feel so glad today", "i feel lonely", "i feel mad because of the weather and my friends", "z" * 500, PAIR]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = classifier("bert", tmp_path_factory.mktemp("bert"))
    quantization.write(folder)
    return folder


@pytest.fixture
def bert(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bert"))


def scores(folder: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    monkeypatch.setenv("MODEL_PRECISION", precision)
    handler = TextClassification()
    found: list[Any] = handler.predict(
        handler.load(folder), [{"inputs": text, "parameters": {"top_k": None}} for text in TEXTS]
    )
    return [{one["label"]: one["score"] for one in labels} for labels in found]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_nearly_those_of_single_precision(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    classifier(family, tmp_path)
    capfd.readouterr()
    quantization.write(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.glob(".unfinished*"))
    exact, found = (scores(tmp_path, precision, monkeypatch) for precision in ("float32", "int8"))
    for expected, one in zip(exact, found, strict=True):
        assert one == pytest.approx(expected, abs=0.02)
    assert exact != found


def test_beside_other_weights_they_are_not_used(bert: Path) -> None:
    assert open_session(str(bert))[0] is Finding.USABLE
    weights = (bert / "model.safetensors").read_bytes()
    (bert / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert open_session(str(bert))[0] is Finding.OTHER_WEIGHTS


@pytest.mark.parametrize("content", [b"", b"\xff" * 1000, None])
def test_a_damaged_file_is_found(bert: Path, content: bytes | None) -> None:
    whole = (bert / INT8).read_bytes()
    (bert / INT8).write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert open_session(str(bert)) == (Finding.DAMAGED, None)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/no/such", path)])
def test_what_is_no_file_is_damaged_and_not_waited_for(bert: Path, make: Callable[[Path], None]) -> None:
    (bert / INT8).unlink()
    make(bert / INT8)
    assert open_session(str(bert)) == (Finding.DAMAGED, None)


def test_a_file_that_is_not_good_never_lies_beside_the_model(bert: Path) -> None:
    (bert / INT8).unlink()
    looked_at: list[Path] = []

    def is_good(path: Path) -> bool:
        looked_at.append(path)
        return (bert / INT8).exists()

    assert quantization.write(bert, is_good) is None
    assert len(looked_at) == 1
    assert not (bert / INT8).exists()


def test_a_model_without_them_and_a_name_of_the_hub(bert: Path, tmp_path: Path) -> None:
    assert open_session("bert-base-uncased") == (Finding.MISSING, None)
    assert open_session(str(tmp_path)) == (Finding.MISSING, None)


def test_without_onnx_runtime_the_weights_themselves_are_used(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    assert open_session(str(bert)) == (Finding.NO_RUNTIME, None)
    with pytest.raises(JobError, match="made with onnx, onnxscript, onnxruntime: install the extra"):
        quantization.write(bert)
    with pytest.raises(JobError, match="int8=true needs onnx, onnxscript, onnxruntime"):
        quantization.check_packages(True)
    quantization.check_packages("auto")


def test_a_model_that_cannot_be_exported_is_told_of(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def fail(*_: Any, **__: Any) -> None:
        raise IndexError("an operator\nof no kind")

    monkeypatch.setattr(torch.onnx, "export", fail)
    (bert / INT8).unlink()
    with pytest.raises(JobError, match="cannot be exported to ONNX: IndexError: an operator of no kind"):
        quantization.write(bert)
    assert not (bert / INT8).exists()
    assert not list(bert.glob(".unfinished*"))


def test_a_model_without_a_head_is_called_that(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=f"^{tmp_path} is no classifier of texts"):
        quantization.write(tiny_model("bert", tmp_path))


@pytest.mark.slow
def test_the_command_writes_them_or_says_why_not(bert: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "byo_container.handlers.text_classification.quantization"]
    (bert / INT8).unlink()
    done = subprocess.run([*command, str(bert)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"wrote {bert / INT8}\n", "")
    assert open_session(str(bert))[0] is Finding.USABLE
    for path, reason in ((tmp_path / "none", "config.json is missing"), (bert / INT8, "config.json is missing")):
        failed = subprocess.run([*command, str(path)], capture_output=True, text=True)
        assert failed.returncode == 1
        assert reason in failed.stderr
        assert "Traceback" not in failed.stderr
        assert "HF_MODEL_ID" not in failed.stderr
