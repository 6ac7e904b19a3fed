"""Fault after fault under load. SOAK_SECONDS=600 for the ten minutes of docs/benchmarks.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("SOAK_SECONDS", "40"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_soak_loses_only_requests_of_injected_faults_and_memory_stays_flat() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
