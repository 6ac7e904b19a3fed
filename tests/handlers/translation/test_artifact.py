"""Model folders of ours and of fairseq; errors for what is missing or damaged in them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.handlers.translation.artifact import ModelManifest, read_manifest
from tests.handlers.translation.checkpoints import Bomb, change


@pytest.fixture
def folder(trained: TrainingJob[Any], tmp_path: Path) -> Path:
    """A copy of a trained model."""
    return Path(shutil.copytree(trained.model_dir, tmp_path / "model"))


@pytest.fixture
def fairseqs(folder: Path) -> Path:
    """The same as fairseq itself would have written it, without our manifest."""
    (folder / "translation.json").unlink()
    (folder / "checkpoint.pt").rename(folder / "checkpoint_best.pt")
    shutil.copy(folder / "checkpoint_best.pt", folder / "checkpoint_last.pt")
    return folder


def test_manifest_round_trip(folder: Path) -> None:
    manifest = ModelManifest.read(folder)
    assert read_manifest(folder) == manifest
    other = ModelManifest("de", "en", lowercase=True, longest_source=7, generation={"beam": 3}, facts={"updates": 5})
    other.write(folder)
    assert ModelManifest.read(folder) == other


def test_manifest_is_derived_from_a_folder_of_fairseq(fairseqs: Path) -> None:
    manifest = read_manifest(fairseqs)
    assert (manifest.source, manifest.target, manifest.checkpoint, manifest.codes) == (
        "de",
        "en",
        "checkpoint_best.pt",
        "codes",
    )
    assert (manifest.lowercase, manifest.normalise, manifest.architecture) == (False, True, "fconv_iwslt_de_en")


@pytest.mark.parametrize("name", ["code", "bpecodes", "bpe.codes", "iwslt.codes", "codes.10000"])
def test_codes_are_found_under_their_usual_names(fairseqs: Path, name: str) -> None:
    (fairseqs / "codes").rename(fairseqs / name)
    assert read_manifest(fairseqs).codes == name


@pytest.mark.parametrize(
    ("sign", "lowercase", "normalise"),
    [("", True, True), ("Ä 99", False, True), ("„ 999", True, False), ("Ä 1\n„ 1", True, True)],
)
def test_conventions_are_detected_from_the_dictionary(
    fairseqs: Path, sign: str, lowercase: bool, normalise: bool
) -> None:
    path = fairseqs / "dict.de.txt"
    path.write_text(path.read_text().lower() + (f"{sign}\n" if sign else ""))
    assert (read_manifest(fairseqs).lowercase, read_manifest(fairseqs).normalise) == (lowercase, normalise)


def test_word_level_model_needs_no_codes(fairseqs: Path) -> None:
    (fairseqs / "codes").unlink()
    path = fairseqs / "dict.de.txt"
    path.write_text(path.read_text().replace("@@ ", "x "))
    assert read_manifest(fairseqs).codes is None


def forget(state: dict[str, Any]) -> None:
    state["cfg"]["task"].update(source_lang=None, target_lang=None)


def test_direction_is_inferred_where_the_checkpoint_lacks_it(fairseqs: Path) -> None:
    change(fairseqs / "checkpoint_best.pt", forget)
    assert (read_manifest(fairseqs).source, read_manifest(fairseqs).target) == ("de", "en"), (
        "by the sizes of the dictionaries"
    )
    shutil.copy(fairseqs / "dict.de.txt", fairseqs / "dict.en.txt")
    with pytest.raises(JobError, match=r"does not say from which language it translates .*de, en.*translation.json"):
        read_manifest(fairseqs)
    (fairseqs / "train.en-de.en.idx").touch()
    assert (read_manifest(fairseqs).source, read_manifest(fairseqs).target) == ("en", "de")


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (["checkpoint_best.pt", "checkpoint_last.pt"], "lacks a checkpoint of fairseq's, such as checkpoint_best.pt"),
        (["dict.en.txt"], r"dict\.en\.txt is missing: the checkpoint translates from 'de' to 'en'.*it holds .*codes"),
        (["codes"], "lacks the BPE codes, under a name such as codes, code, bpecodes"),
    ],
)
def test_missing_file_is_named(fairseqs: Path, remove: list[str], message: str) -> None:
    for name in remove:
        (fairseqs / name).unlink()
    with pytest.raises(JobError, match=message):
        read_manifest(fairseqs)


def test_several_checkpoints_are_refused(fairseqs: Path) -> None:
    (fairseqs / "checkpoint_last.pt").rename(fairseqs / "a.pt")
    (fairseqs / "checkpoint_best.pt").rename(fairseqs / "b.pt")
    with pytest.raises(JobError, match=r"several files \*\.pt \(a\.pt, b\.pt\)"):
        read_manifest(fairseqs)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sorce", "de", "unknown key 'sorce'; did you mean 'source'"),
        ("source", 5, "'source' is 5; it must be a text"),
        ("lowercase", "no", "'lowercase' is 'no'; it must be true or false"),
        ("longest_source", True, "'longest_source' is True; it must be a whole number or null"),
        ("tokenizer", "mooses", "tokenizer is 'mooses'; did you mean 'moses'"),
        ("checkpoint", "best.pt", r"best\.pt is missing; it holds "),
        ("checkpoint", "../model/checkpoint.pt", None),
        ("checkpoint", "../checkpoint.pt", "leads out of .*model; a model's files must lie in its own folder"),
        ("codes", "/etc/hostname", "leads out of"),
        ("target", "../en", "leads out of|is missing"),
    ],
)
def test_invalid_manifest_is_refused(folder: Path, key: str, value: Any, message: str | None) -> None:
    path = folder / "translation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    shutil.copy(folder / "checkpoint.pt", folder.parent)
    if message is None:
        assert read_manifest(folder)
        return
    with pytest.raises(JobError, match=message):
        read_manifest(folder)


def test_symlink_out_of_the_folder_is_refused(fairseqs: Path) -> None:
    shutil.move(fairseqs / "codes", fairseqs.parent / "codes")
    os.symlink(fairseqs.parent / "codes", fairseqs / "codes")
    with pytest.raises(JobError, match="leads out of"):
        read_manifest(fairseqs)


def load_model(folder: Path) -> Any:
    from byo_container.handlers.translation.inference import model

    return model.load(folder, read_manifest(folder))


def test_pickle_with_code_is_refused(folder: Path, tmp_path: Path) -> None:
    import torch

    change(folder / "checkpoint.pt", lambda state: state.update(extra=Bomb(tmp_path / "mark")))
    torch.load(folder / "checkpoint.pt", weights_only=False)
    assert (tmp_path / "mark").exists(), "the bomb is real"
    (tmp_path / "mark").unlink()
    with pytest.raises(JobError, match=r"holds more than weights and settings \(\S*exec\), and loading"):
        load_model(folder)
    (folder / "translation.json").unlink()
    with pytest.raises(JobError, match="holds more than weights and settings"):
        read_manifest(folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["namespace", "dictionary"])
def test_setting_with_code_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    """fairseq calls eval() on encoder_layers."""

    def edit(state: dict[str, Any]) -> None:
        model = state["cfg"]["model"]
        values = vars(model) if isinstance(model, argparse.Namespace) else model
        values["encoder_layers"] = f"__import__('pathlib').Path({str(tmp_path / 'mark')!r}).touch()"
        state["cfg"]["model"] = argparse.Namespace(**values) if kind == "namespace" else dict(values)

    change(folder / "checkpoint.pt", edit)
    with pytest.raises(
        JobError, match=r"setting encoder_layers is .*which fairseq would evaluate, and which would be run as code"
    ):
        load_model(folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("checkpoint.pt", b"nothing", r"checkpoint\.pt cannot be loaded as a checkpoint"),
        ("dict.de.txt", b"no number\n", r"dict\.de\.txt is no dictionary of fairseq's"),
        ("dict.de.txt", b"too 5\nfew 3\n", r"does not make a model with dict\.de\.txt \(6 subword tokens\)"),
        ("codes", b"no codes\nat all here\n", "line 2 is 'at all here'"),
    ],
)
def test_damaged_file_is_named(folder: Path, name: str, content: bytes, message: str) -> None:
    from byo_container.handlers.translation.predictor import Translator

    (folder / name).write_bytes(content)
    with pytest.raises(JobError, match=message):
        Translator(folder)


def test_file_that_is_no_fairseq_checkpoint_is_refused(folder: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(1)}, folder / "checkpoint.pt")
    with pytest.raises(JobError, match="no checkpoint of fairseq's: it should be a dictionary with the key 'model'"):
        load_model(folder)


def test_checkpoint_from_before_pytorch_1_6_loads(folder: Path) -> None:
    import torch

    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save(state, folder / "checkpoint.pt", _use_new_zipfile_serialization=False)
    assert load_model(folder).model is not None
