"""Scripts for Transformers 4 run unchanged on the release that is installed here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("transformers")
from tests.handlers.text_classification.support import tiny_model
from tests.support.tree import Tree
from tests.training.support import older_scripts
from tests.training.support.hugging_face import save_channels, scores

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = (REPOSITORY / "examples/hugging_face/train.py").read_text()
RUN = [sys.executable, "-P", "-m", "byo_container.training.processes.hugging_face", "train.py"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("m") / "model")


@pytest.mark.timeout(300)
def test_example_in_script_mode(ml: Callable[..., Tree], model: Path, tmp_path: Path) -> None:
    given = {
        "output_dir": str(tmp_path / "checkpoints"),
        "epochs": "2",
        "train_batch_size": "8",
        "learning_rate": "1e-2",
        "warmup_steps": "0",
        "model_id": str(model),
    }
    given |= {"sagemaker_pytorch_xla_multi_worker_enabled": "true", "processes_per_host": "2"}
    tree = ml(code={"train.py": EXAMPLE}, hyperparameters=given, channels={"train": {}, "test": {}})
    save_channels(model, tree.paths.data / "train", tree.paths.data / "test")
    done = tree.finish(tree.start(), timeout_s=250)
    assert done.status == 0, done.err
    assert done.err.count("evaluation_strategy='epoch' is eval_strategy='epoch'") == 1
    assert "tokenizer is processing_class" in done.err
    assert "'epoch': 2.0" in done.out
    found = scores(tree.paths.output / "data/eval_results.txt")
    assert found["eval_accuracy"] >= 1 / 3
    assert found["eval_loss"] < 1.5  # of three labels; that of two ranks together would be above 2
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in tree.paths.model.iterdir()}
    assert list((tree.paths.output / "data/logs").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", ["PARSES", "OVERRIDES"])
def test_other_shapes(tmp_path: Path, model: Path, name: str) -> None:
    save_channels(model, tmp_path / "data")
    (tmp_path / "train.py").write_text(getattr(older_scripts, name))
    folders = [str(model), str(tmp_path / "data"), str(tmp_path / "out")]
    if name == "PARSES":
        options = zip(("--model_name_or_path", "--dataset", "--output_dir"), folders, strict=True)
        words = [word for option in options for word in option]
        words += ["--overwrite_output_dir", "--evaluation_strategy", "epoch", "--num_train_epochs", "1"]
        words += ["--warmup_ratio=0.1", "--fp16", "True", "--do_train", "True", "--logging_steps", "1"]
        words += ["--optim", "adamw_hf"]
    done = subprocess.run(
        [*RUN, *(words if name == "PARSES" else folders)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "a script for Transformers 4: Trainer: tokenizer is processing_class" in done.stderr
    assert (tmp_path / "out/model.safetensors").is_file()
