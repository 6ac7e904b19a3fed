"""BERT in an image: fine-tuned by the handler and served, and by a script for Transformers 4, compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")
from tests.end_to_end.images.docker import LOCKED_DOWN, REPOSITORY, docker
from tests.end_to_end.images.local_scripts import predict, run, serving
from tests.handlers.text_classification.support import LABELS, lines, tiny_model
from tests.support.tree import make_tree
from tests.training.support.hugging_face import save_channels, scores

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(2400)]

COMPILES = "import torch; print(torch.compile(lambda x: (x * 2).sin().sum())(torch.zeros(8)).item())"


def test_handler_trains_and_serves(text_classification_image: str, tmp_path: Path) -> None:
    given = {"epochs": "1", "model_id": "/opt/ml/input/data/model"}
    channels = {name: {"lines.txt": "\n".join(lines(96, seed))} for name, seed in (("train", 0), ("test", 96))}
    tree = make_tree(tmp_path, hyperparameters=given, channels={**channels, "model": {}})
    tiny_model("bert", tree.paths.data / "model")
    done = run("train_local.sh", text_classification_image, "--memory", "4g", test_dir=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    with serving(text_classification_image, tmp_path) as port:
        answer = predict(tmp_path, port, {"inputs": "i feel happy today"})
    assert isinstance(answer, list)
    assert answer[0]["label"] in LABELS


def test_script_for_transformers_4(text_classification_image: str, tmp_path: Path) -> None:
    given = {"epochs": "1", "train_batch_size": "8", "warmup_steps": "0", "model_id": "/opt/ml/input/data/model"}
    given |= {"sagemaker_program": "train.py", "sagemaker_training_compiler_enabled": "true"}
    code = {"train.py": (REPOSITORY / "examples/hugging_face/train.py").read_text()}
    channels: dict[str, dict[str, str]] = {"train": {}, "test": {}, "model": {}}
    paths = make_tree(tmp_path, code=code, hyperparameters=given, channels=channels).paths
    save_channels(tiny_model("bert", paths.data / "model"), paths.data / "train", paths.data / "test")
    done = run("train_local.sh", text_classification_image, "--memory", "4g", test_dir=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "which is no longer there, is torch_compile=True" in done.stdout + done.stderr
    assert scores(paths.output / "data/eval_results.txt")["epoch"] == 1
    assert (paths.model / "model.safetensors").is_file()


def test_compiler_for_any_user_on_a_read_only_root(text_classification_image: str) -> None:
    options = [*LOCKED_DOWN, "--user", "12345:12345"]
    options[options.index("/tmp")] = "/tmp:exec"  # noqa: S108  # PyTorch loads what it has compiled from there
    done = docker("run", "--rm", *options, text_classification_image, "python3", "-c", COMPILES)
    assert done.stdout.strip() == "0.0", done.stdout + done.stderr
