"""Where a model comes from, and what is said where it is not there."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("transformers")

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob, read_job
from byo_container.handlers.text_classification import pretrained
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from tests.handlers.text_classification.support import FAMILIES, LONGEST, lines, make_tree, tiny_model

LABELS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("bert") / "model")


def job(root: Path, channel: Path | None = None, **hyperparameters: Any) -> TrainingJob[Hyperparameters]:
    channels: dict[str, list[str] | Path] = {"train": lines(3)}
    if channel:
        channels["model"] = channel
    return read_job(make_tree(root / "ml", channels, **hyperparameters).paths).declare(Hyperparameters)


def find(root: Path, channel: Path | None = None, **hyperparameters: Any) -> str:
    scratch = root / "scratch"
    scratch.mkdir(parents=True)
    return pretrained.find(job(root, channel, **hyperparameters), scratch)


def archive(folder: Path, path: Path, inside: str) -> Path:
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=inside)
    return path.parent


def test_a_name_of_the_hub_stays_a_name(tmp_path: Path) -> None:
    assert find(tmp_path, model_id="bert-base-uncased") == "bert-base-uncased"


def test_folder_channel_folder_below_and_archive(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "bert").symlink_to(bert)
    shutil.copytree(bert, tmp_path / "deep" / "a" / "bert")
    packed = archive(bert, tmp_path / "packed" / "model.tar.gz", "model")
    cases = {"one": (None, {"model_id": str(bert)}), "two": (bert, {}), "four": (tmp_path / "deep", {})}
    for name, (channel, hyperparameters) in cases.items():
        (tmp_path / name).mkdir()
        assert (Path(find(tmp_path / name, channel, **hyperparameters)) / "config.json").is_file()
    (tmp_path / "five").mkdir()
    assert find(tmp_path / "five", packed) == str(tmp_path / "five" / "scratch" / "pretrained" / "model")


def test_the_log_says_where_it_was_found(bert: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abcd"]
    given: list[tuple[Path | None, dict[str, str]]] = [
        (None, {"model_id": "bert-base-uncased"}),
        (bert, {}),
        (bert, {"model_id": "bert-base-uncased"}),
        (bert, {"model_id": str(bert)}),
    ]
    found = [pretrained.origin(job(at, channel, **names)) for at, (channel, names) in zip(folders, given, strict=True)]
    of_channel = "the model of channel 'model'"
    assert found == ["bert-base-uncased", of_channel, f"{of_channel}, and not the hub's bert-base-uncased", str(bert)]


def test_an_archive_may_not_write_elsewhere(bert: Path, tmp_path: Path) -> None:
    packed = archive(bert, tmp_path / "packed" / "model.tar.gz", "../model")
    with pytest.raises(JobError, match="would not stay in"):
        find(tmp_path, packed)


def test_nothing_and_a_wrong_path(tmp_path: Path) -> None:
    with pytest.raises(
        JobError, match=r"needs a pretrained model: the hyperparameter model_id, .* or a channel `model`"
    ):
        find(tmp_path)
    with pytest.raises(JobError, match="model_id is '/no/such/place', and there is no such folder"):
        find(tmp_path / "other", model_id="/no/such/place")


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("config.json", "has no config.json; .* this one holds model.safetensors"),
        ("model.safetensors", "lacks model.safetensors, the model's weights; it holds config.json"),
        ("tokenizer*", "lacks the tokenizer: one of tokenizer.json, vocab.txt"),
    ],
)
def test_a_missing_file_is_named(missing: str, why: str, bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "model")
    for path in (tmp_path / "model").glob(missing):
        path.unlink()
    with pytest.raises(JobError, match=why):
        pretrained.load(find(tmp_path, tmp_path / "model"), LABELS, Hyperparameters())


def test_damaged_weights(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"\x00" * 50)
    with pytest.raises(JobError, match=r"the model in .* cannot be loaded: SafetensorError"):
        pretrained.load(str(tmp_path / "model"), LABELS, Hyperparameters())


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_file_is_told_and_not_waited_for(name: str, kind: str, bert: Path, tmp_path: Path) -> None:
    path = shutil.copytree(bert, tmp_path / "model") / name
    path.unlink()
    makers: dict[str, Callable[[Path], None]] = {
        "pipe": os.mkfifo,
        "folder": os.mkdir,
        "link": lambda link: link.symlink_to("/no/such"),
    }
    makers[kind](path)
    with pytest.raises(JobError, match=rf"{name} is no file, but a folder, a pipe or a link to nothing"):
        pretrained.load(str(path.parent), LABELS, Hyperparameters())


def changed(folder: Path, name: str, **values: Any) -> Path:
    """A model whose JSON file has other values."""
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | values))
    return folder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 32}, r"has the shape \(.*16.*\) in the weights, and \(.*32.*\) by config.json, and so have"),
        ({"num_hidden_layers": 3}, r"it is a BertForSequenceClassification, and the weights lack bert.encoder.layer.2"),
        ({"model_type": "distilbert"}, "it is a DistilBertForSequenceClassification, and the weights lack distilbert"),
    ],
)
def test_an_encoder_of_other_weights_is_not_trained_from_random_numbers(
    values: dict[str, Any], message: str, bert: Path, tmp_path: Path
) -> None:
    folder = changed(shutil.copytree(bert, tmp_path / "model"), "config.json", **values)
    with pytest.raises(JobError, match=f"config.json and the weights do not belong together: .*{message}"):
        pretrained.load(str(folder), LABELS, Hyperparameters())


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("many", "model_max_length in tokenizer_config.json is 'many'"),
        (2, "may have 2 tokens, and 2 of them are special"),
    ],
)
def test_a_limit_that_leaves_no_text(limit: Any, message: str, bert: Path, tmp_path: Path) -> None:
    folder = changed(shutil.copytree(bert, tmp_path / "model"), "tokenizer_config.json", model_max_length=limit)
    with pytest.raises(JobError, match=message):
        pretrained.load(str(folder), LABELS, Hyperparameters())


def test_a_name_that_is_too_long_for_a_path() -> None:
    assert not pretrained.is_folder("x" * 5000)


def test_pickled_weights_are_loaded_only_where_the_job_allows_it(bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(bert, tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(JobError, match=r"pytorch_model.bin, which is pickled.*allow_pickle=true"):
        pretrained.load(str(folder), LABELS, Hyperparameters())
    assert pretrained.load(str(folder), LABELS, Hyperparameters(allow_pickle=True)).model.config.num_labels == 4


def test_code_in_pickled_weights_does_not_run(bert: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    folder = shutil.copytree(bert, tmp_path / "model")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    (folder / "model.safetensors").unlink()
    with pytest.raises(JobError, match="cannot be loaded"):
        pretrained.load(str(folder), LABELS, Hyperparameters(allow_pickle=True))
    assert not (tmp_path / "ran").exists()


def test_a_hub_that_cannot_be_reached_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    begun = time.monotonic()
    with pytest.raises(
        JobError, match=r"'no/such-model' cannot be loaded: the hub cannot be reached .* channel `model`"
    ):
        pretrained.load("no/such-model", LABELS, Hyperparameters())
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_text_of_every_family(family: str, tmp_path: Path) -> None:
    folder = tiny_model(family, tmp_path)
    loaded = pretrained.load(str(folder), LABELS, Hyperparameters())
    assert loaded.max_length == LONGEST
    assert loaded.model.config.id2label == dict(enumerate(LABELS))
    with pytest.raises(JobError, match=rf"max_length is {LONGEST + 1}, and the model takes {LONGEST} tokens at most"):
        pretrained.load(str(folder), LABELS, Hyperparameters(max_length=LONGEST + 1))


def test_positions_of_roberta_begin_after_that_of_padding() -> None:
    tokenizer = SimpleNamespace(model_max_length=10**30)
    roberta = SimpleNamespace(model_type="roberta", max_position_embeddings=514, pad_token_id=1)
    bert = SimpleNamespace(model_type="bert", max_position_embeddings=512, pad_token_id=0)
    assert pretrained.model_limit(tokenizer, roberta) == 512
    assert pretrained.model_limit(tokenizer, bert) == 512
    assert pretrained.model_limit(SimpleNamespace(model_max_length=128), bert) == 128
    assert pretrained.model_limit(tokenizer, SimpleNamespace(model_type="x")) is None
