"""What the hardware computes fast in, and the compiler of torch.compile."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.container.hardware import cpu_flags, missing_compiler


def test_cpu_flags(tmp_path: Path) -> None:
    x86, arm = tmp_path / "x86", tmp_path / "arm"
    x86.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n\nprocessor\t: 1\nflags\t\t: other\n")
    arm.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert cpu_flags(x86) == {"fpu", "avx512_bf16"}
    assert cpu_flags(arm) == {"fp", "asimd", "bf16"}
    assert cpu_flags(tmp_path / "none") == frozenset()


def test_compiler_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_compiler(False, {}) == (
        "torch.compile needs a C++ compiler, and there is no g++ or clang++ on the PATH"
    )
    (tmp_path / "g++").touch(0o755)
    assert missing_compiler(False, {}) is None
    assert "no nowhere on the PATH" in str(missing_compiler(False, {"CXX": "nowhere"}))
    assert "needs a C compiler" in str(missing_compiler(True, {}))  # Triton's
    assert missing_compiler(True, {"CC": str(tmp_path / "g++")}) is None
