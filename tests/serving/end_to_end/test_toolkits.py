"""Our answers beside those of SageMaker's own toolkits, which have an environment to themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PYTHON = REPOSITORY / ".venv-toolkits/bin/python"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("toolkit", ["generic", "sklearn", "xgboost", "pytorch", "huggingface"])
def test_an_inference_script_answers_as_it_does_there(toolkit: str) -> None:
    if not PYTHON.exists():
        pytest.skip("SageMaker's inference toolkits are not there; tools/toolkits.sh installs them")
    tests = f"tests/serving/end_to_end/toolkits/test_{toolkit}.py"
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
