"""A job from the channels to the model folder, in the process of the test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from byo_container.container.failure import JobError, JobStopped
from byo_container.container.job import read_job
from byo_container.container.metrics import parse
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.training.job import run
from tests.handlers.text_classification.support import FAMILIES, LABELS, lines, make_tree, tiny_model
from tests.support.tree import Tree

SMALL: dict[str, Any] = {"epochs": 3, "train_batch_size": 8, "learning_rate": 0.01, "compile": "false", "int8": "false"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        tiny_model(family, folder / family)
    return folder


def make(root: Path, model: Path, **hyperparameters: Any) -> Tree:
    channels: dict[str, list[str] | Path] = {"train": lines(48), "validation": lines(12, 1000), "model": model}
    return make_tree(root, channels, **{**SMALL, **hyperparameters})


def train(tree: Tree) -> None:
    run(read_job(tree.paths).declare(Hyperparameters))


def weights(tree: Tree) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(tree.paths.model / "model.safetensors"))


def steps(tree: Tree) -> set[str]:
    return {path.name for path in tree.paths.checkpoints.glob("checkpoint-*")}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


@contextlib.contextmanager
def sigterm_after(tree: Tree, checkpoint: str) -> Iterator[None]:
    """SIGTERM for this process as soon as there is a checkpoint."""

    def watch() -> None:
        while not (tree.paths.checkpoints / checkpoint / "complete.json").exists():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_and_is_loaded_by_transformers_alone(family: str, models: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tree = make(tmp_path, models / family, max_length=32, learning_rate=0.02, train_batch_size=4, epochs=6)
    train(tree)
    config = json.loads((tree.paths.model / "config.json").read_text())
    assert list(config["id2label"].values()) == list(LABELS)
    tokenizer = AutoTokenizer.from_pretrained(tree.paths.model)
    assert tokenizer.model_max_length == 32
    model = AutoModelForSequenceClassification.from_pretrained(tree.paths.model)
    texts = [line.partition(";")[0] for line in lines(30, 1000)]
    found = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.argmax(-1).tolist()
    right = [LABELS.index(line.partition(";")[2]) for line in lines(30, 1000)]
    assert sum(a == b for a, b in zip(found, right, strict=True)) > 15
    assert not list(tree.paths.model.glob(".unfinished*"))
    assert not list(tree.paths.model.glob("*.bin"))


@pytest.mark.parametrize("sampling", ["group_by_length", "random"])
def test_a_job_that_was_stopped_goes_on_as_if_it_had_not_been(sampling: str, models: Path, tmp_path: Path) -> None:
    given = {"train_sampling_strategy": sampling, "metric_for_best_model": "loss"}
    whole = make(tmp_path / "whole", models / "bert", **given)
    train(whole)
    tree = make(tmp_path / "parts", models / "bert", **given, save_steps=2)
    with sigterm_after(tree, "checkpoint-8"), pytest.raises(JobStopped, match=r"after step \d+ of 18; a checkpoint"):
        train(tree)
    assert (tree.paths.model / "model.safetensors").exists()
    stopped = weights(tree)
    train(tree)
    assert same(weights(tree), weights(whole))
    assert not same(stopped, weights(whole))


def test_the_log_has_each_metric_once_and_those_of_before_again(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make(tmp_path, models / "bert", save_steps=2)
    with sigterm_after(tree, "checkpoint-8"), pytest.raises(JobStopped):
        train(tree)
    before = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    train(tree)
    said = capsys.readouterr().out
    after = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert before == after[: len(before)]
    assert [line.split(":")[0] for line in after] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    metrics = parse(after[-1])
    assert metrics
    assert set(metrics.values) == {"train_loss", "eval_loss", "eval_accuracy", "eval_f1"}
    assert metrics.step == 3
    assert "{'" not in said


def test_a_finished_job_that_starts_again_trains_nothing_more(models: Path, tmp_path: Path) -> None:
    tree = make(tmp_path, models / "bert")
    train(tree)
    made, left = weights(tree), steps(tree)
    train(tree)
    assert same(weights(tree), made)
    assert steps(tree) == left


def test_neither_does_one_that_ended_within_an_epoch(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make(tmp_path, models / "bert", max_steps=3)
    train(tree)
    capsys.readouterr()
    train(tree)
    said = capsys.readouterr().out
    assert "going on after step 3 of 3, so that no step is left" in said
    assert "step 4/3" not in said
    assert steps(tree) == {"checkpoint-3"}


def test_the_log_says_what_is_trained(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(make(tmp_path, models / "distilbert", max_steps=1, lora_r=2, learning_rate=1e-9))
    said = capsys.readouterr().out
    source = r"fine-tuning the model of channel 'model' \(distilbert, [\d,]+ parameters\), on texts of 64 tokens"
    assert re.search(f"^{source}", said, re.MULTILINE)
    assert re.search(r"^LoRA: [\d,]+ of [\d,]+ parameters are trained", said, re.MULTILINE)
    assert "warning: the model is no better than to answer" in said


def test_a_damaged_checkpoint_is_skipped(models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree = make(tmp_path, models / "bert")
    train(tree)
    made = weights(tree)
    newest = tree.paths.checkpoints / "checkpoint-18" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:-10])
    train(tree)
    assert same(weights(tree), made)


@pytest.mark.parametrize("size", ["16k", "64k"])
def test_a_full_disk_for_checkpoints_does_not_end_a_training(
    size: str, models: Path, tmp_path: Path, mount: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tree = make(tmp_path / "ml", models / "bert", epochs=1)
    mount(tree.paths.checkpoints, f"size={size}")
    train(tree)
    assert f"cannot be saved: cannot write to {tree.paths.checkpoints}: the disk is full" in caplog.text
    assert not steps(tree)
    assert (tree.paths.model / "model.safetensors").exists()


def test_checkpoints_of_another_job_are_refused_and_more_epochs_go_on(models: Path, tmp_path: Path) -> None:
    train(make(tmp_path, models / "bert", epochs=1))
    for changed, why in (
        ({"learning_rate": 0.004}, r"were made with another learning_rate \(learning_rate was 0.01, now 0.004\)"),
        ({"max_length": 6}, "were made from other texts"),
    ):
        with pytest.raises(JobError, match=why):
            train(make_again(tmp_path, changed))
    train(make_again(tmp_path, {"epochs": 2, "learning_rate": 0.01, "max_length": ""}))
    assert "checkpoint-12" in steps(Tree(tmp_path))


def make_again(root: Path, changed: Mapping[str, object]) -> Tree:
    tree = Tree(root)
    before = json.loads(tree.paths.hyperparameters.read_text())
    tree.paths.hyperparameters.write_text(json.dumps(before | {name: str(value) for name, value in changed.items()}))
    return tree


def test_adapters_are_merged_into_the_model(models: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tree = make(tmp_path, models / "distilbert", lora_r=4, learning_rate=0.05)
    train(tree)
    made, before = weights(tree), load_file(models / "distilbert" / "model.safetensors")
    assert not [name for name in made if "lora" in name]
    assert (tree.paths.checkpoints / "checkpoint-18" / "adapter_model.safetensors").exists()
    trained = {name for name in before if (made[f"distilbert.{name}"] != before[name]).any()}
    assert "transformer.layer.0.attention.q_lin.weight" in trained
    assert "embeddings.word_embeddings.weight" not in trained


def test_training_ends_early_without_gain(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(make(tmp_path, models / "bert", epochs=9, learning_rate=1e-9, early_stopping_patience=2))
    said = capsys.readouterr().out
    assert "eval_accuracy has not become better in 2 evaluations: training ends" in said
    assert "epoch 4/9" not in said
