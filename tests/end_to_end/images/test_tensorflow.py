"""The workshop's lab 5 in an image that is made for it: two instances train, and what they leave is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.images.docker import REPOSITORY
from tests.end_to_end.images.local_scripts import predict, run, serving
from tests.support.tree import make_tree

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("program", ["sentiment.py", "asynchronous.py"])
def test_lab_5(tensorflow_image: str, tmp_path: Path, program: str) -> None:
    given = {"sagemaker_program": program, "sagemaker_parameter_server_enabled": "true", "batch_size": "32"}
    code = {path.name: path.read_text() for path in (REPOSITORY / "examples/sentiment").glob("*.py")}
    channels: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    paths = make_tree(tmp_path, code=code, hyperparameters=given, channels=channels).paths
    random = np.random.default_rng(0)
    for name in channels:
        np.save(paths.data / name / f"x_{name}.npy", random.integers(1, 20_000, (128, 40)))
        np.save(paths.data / name / f"y_{name}.npy", random.integers(0, 2, 128))
    done = run("train_local.sh", tensorflow_image, "--hosts", "2", "--memory", "4g", test_dir=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (paths.model / "1/saved_model.pb").is_file()
    assert "test_accuracy=" in done.stdout
    with serving(tensorflow_image, tmp_path) as port:
        answer = predict(tmp_path, port, {"instances": [[1] * 40] * 3})
    assert isinstance(answer, dict)
    assert np.array(answer["predictions"]).shape == (3, 1)
