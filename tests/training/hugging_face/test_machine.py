"""What a script's machine and job say of precision and compiling."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.training.hugging_face.machine import asks_for_compiler, has_compiler


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", False),
        ("{}", False),
        ("torn", False),
        ('{"sagemaker_training_compiler_enabled": true}', True),
        ('{"sagemaker_training_compiler_enabled": "True"}', True),
        ('{"sagemaker_training_compiler_enabled": false}', False),
    ],
)
def test_whether_the_job_asks_for_the_compiler(text: str, asks: bool) -> None:
    assert asks_for_compiler({"SM_FRAMEWORK_PARAMS": text}) is asks


def test_compiler_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_compiler(False, {})
    (tmp_path / "g++").touch(0o755)
    assert has_compiler(False, {})
    assert not has_compiler(False, {"CXX": "nowhere"})
    assert not has_compiler(True, {})  # Triton's is one of C
    assert has_compiler(True, {"CC": str(tmp_path / "g++")})
