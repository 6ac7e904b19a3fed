"""What is served, and what is missing where nothing can be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="text classification needs Transformers")

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification import artifact, pretrained
from tests.handlers.text_classification.support import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from transformers import AutoModelForSequenceClassification

    folder = tiny_model("bert", tmp_path / "model")
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).save_pretrained(folder)
    return folder


def test_a_folder_of_save_pretrained_is_a_model(folder: Path) -> None:
    loaded = artifact.load(folder, {"HF_TASK": "text-classification"})
    assert (loaded.model().config.num_labels, loaded.max_length) == (3, 64)


def test_hf_model_id_names_the_model_of_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert artifact.load(tmp_path / "empty", {"HF_MODEL_ID": str(folder)}).max_length == 64
    assert artifact.source_of(folder, {"HF_MODEL_ID": "a/b"}) == str(folder)
    assert artifact.source_of(tmp_path, {"HF_MODEL_ID": "a/b"}) == "a/b"


def saved(folder: Path, seed: int) -> dict[str, bytes]:
    """Saves a model of other weights; its files."""
    import torch

    loaded = artifact.load(folder.parent / "model", {})
    model = loaded.model()
    torch.manual_seed(seed)
    model.classifier.reset_parameters()
    model.config.id2label = {number: f"{seed}-{number}" for number in range(3)}
    artifact.save(model, loaded.tokenizer, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_saving_replaces_a_model_and_what_a_killed_run_has_left(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    before = saved(place, 1)
    (place / ".unfinished-left").mkdir()
    (place / ".unfinished-left" / "model.safetensors").touch()
    after = saved(place, 2)
    assert after.keys() == before.keys()
    assert artifact.load(place, {}).config.id2label[0] == "2-0"


@pytest.mark.parametrize("survives", range(4))
def test_a_kill_while_a_model_is_replaced_never_leaves_a_mix(
    survives: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, put = tmp_path / "place", artifact._put
    done: list[Path] = []
    saved(place, 1)

    def put_until_killed(path: Path, to: Path) -> None:
        if len(done) == survives:
            raise KeyboardInterrupt
        done.append(path)
        put(path, to)

    monkeypatch.setattr(artifact, "_put", put_until_killed)
    with pytest.raises(KeyboardInterrupt):
        saved(place, 2)
    with pytest.raises(JobError, match=r"config.json is missing, beside model.safetensors: the model was not saved"):
        artifact.load(place, {"HF_MODEL_ID": str(folder)})


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size // 2)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def without_head(folder: Path) -> None:
    tiny_model("bert", folder)


def pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def other_size(folder: Path) -> None:
    change(folder / "config.json", id2label={number: f"label {number}" for number in range(5)}, label2id=None)


def other_words(folder: Path) -> None:
    made = json.loads((folder / "tokenizer.json").read_text())
    made["model"]["vocab"]["happy"] += 100_000
    (folder / "tokenizer.json").write_text(json.dumps(made))


def pickled(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "environ", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), {}, "config.json is missing, beside model.safetensors"),
        (empty, {}, "config.json is missing.*HF_MODEL_ID may name"),
        (empty, {"HF_MODEL_ID": "/no/such"}, "'/no/such', and there is no"),
        (lambda folder: (folder / "config.json").write_text("{"), {}, "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").unlink(), {}, "lacks model.safetensors"),
        (cut, {}, "cannot be loaded: .*[Ss]afetensor"),
        (without_tokenizer, {}, "lacks the tokenizer"),
        (without_head, {}, "holds BertModel, and lacks classifier.bias"),
        (pipe, {}, "model.safetensors is no file, but a folder, a pipe or a link to nothing"),
        (other_size, {}, r"classifier.bias has the shape \(3,\) in the weights, and \(5,\) by config.json"),
        (other_words, {}, r"the tokenizer has 100,0\d\d tokens and the model embeddings for \d+"),
        (pickled, {}, "pickled, and could hold code.*MODEL_ALLOW_PICKLE=true"),
        (lambda folder: None, {"HF_TASK": "fill-mask"}, "HF_TASK is 'fill-mask', and the handler"),
    ],
)
def test_what_is_missing_is_said(
    folder: Path, damage: Callable[[Path], None], environ: dict[str, str], message: str
) -> None:
    damage(folder)
    with pytest.raises(JobError, match=message):
        artifact.load(folder, environ).model()


def test_an_endpoint_is_told_of_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "hub_is_reachable", lambda: False)
    with pytest.raises(JobError, match=r"bring its files in /opt/ml/model \(.*\), or correct HF_MODEL_ID"):
        artifact.load(tmp_path, {"HF_MODEL_ID": "no/such-model"})


def test_pickled_weights_are_loaded_where_they_are_asked_for(folder: Path) -> None:
    pickled(folder)
    assert artifact.load(folder, {"MODEL_ALLOW_PICKLE": "true"}).model().config.num_labels == 3


def test_code_that_comes_with_a_model_does_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()")
    artifact.load(folder, {}).model()
    assert not (folder / "ran").exists()
