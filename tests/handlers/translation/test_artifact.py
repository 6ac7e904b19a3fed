"""The model folder: ours, and what fairseq itself leaves; what is missing there is told."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.handlers.translation.artifact import Bundle, find
from tests.handlers.translation.checkpoints import Bomb, change


@pytest.fixture
def folder(trained: TrainingJob[Any], tmp_path: Path) -> Path:
    """A copy of a trained model."""
    return Path(shutil.copytree(trained.model_dir, tmp_path / "model"))


@pytest.fixture
def fairseqs(folder: Path) -> Path:
    """The same as fairseq would leave it, who says in the checkpoint what it was trained with."""
    (folder / "translation.json").unlink()
    (folder / "checkpoint.pt").rename(folder / "checkpoint_best.pt")
    shutil.copy(folder / "checkpoint_best.pt", folder / "checkpoint_last.pt")
    return folder


def test_there_and_back(folder: Path) -> None:
    bundle = Bundle.read(folder)
    assert find(folder) == bundle
    other = Bundle("de", "en", lowercase=True, longest_source=7, generation={"beam": 3}, facts={"updates": 5})
    other.write(folder)
    assert Bundle.read(folder) == other


def test_what_fairseq_made_is_understood(fairseqs: Path) -> None:
    bundle = find(fairseqs)
    assert (bundle.source, bundle.target, bundle.checkpoint, bundle.codes) == (
        "de",
        "en",
        "checkpoint_best.pt",
        "codes",
    )
    assert (bundle.lowercase, bundle.normalise, bundle.architecture) == (False, True, "fconv_iwslt_de_en")


@pytest.mark.parametrize("name", ["code", "bpecodes", "bpe.codes", "iwslt.codes", "codes.10000"])
def test_the_usual_names_of_codes(fairseqs: Path, name: str) -> None:
    (fairseqs / "codes").rename(fairseqs / name)
    assert find(fairseqs).codes == name


@pytest.mark.parametrize(
    ("sign", "lowercase", "normalise"),
    [("", True, True), ("Ä 99", False, True), ("„ 999", True, False), ("Ä 1\n„ 1", True, True)],
)
def test_the_dictionary_tells_what_was_done_to_the_text(
    fairseqs: Path, sign: str, lowercase: bool, normalise: bool
) -> None:
    path = fairseqs / "dict.de.txt"
    path.write_text(path.read_text().lower() + (f"{sign}\n" if sign else ""))
    assert (find(fairseqs).lowercase, find(fairseqs).normalise) == (lowercase, normalise)


def test_a_model_of_whole_words_needs_no_codes(fairseqs: Path) -> None:
    (fairseqs / "codes").unlink()
    path = fairseqs / "dict.de.txt"
    path.write_text(path.read_text().replace("@@ ", "x "))
    assert find(fairseqs).codes is None


def forget(state: dict[str, Any]) -> None:
    state["cfg"]["task"].update(source_lang=None, target_lang=None)


def test_the_direction_where_the_checkpoint_does_not_tell(fairseqs: Path) -> None:
    change(fairseqs / "checkpoint_best.pt", forget)
    assert (find(fairseqs).source, find(fairseqs).target) == ("de", "en"), "by the sizes of the dictionaries"
    shutil.copy(fairseqs / "dict.de.txt", fairseqs / "dict.en.txt")
    with pytest.raises(JobError, match=r"does not say from which language it translates .*de, en.*translation.json"):
        find(fairseqs)
    (fairseqs / "train.en-de.en.idx").touch()
    assert (find(fairseqs).source, find(fairseqs).target) == ("en", "de")


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (["checkpoint_best.pt", "checkpoint_last.pt"], "lacks a checkpoint of fairseq's, such as checkpoint_best.pt"),
        (["dict.en.txt"], r"dict\.en\.txt is missing: the checkpoint translates from 'de' to 'en'.*it holds .*codes"),
        (["codes"], "lacks the BPE codes, under a name such as codes, code, bpecodes"),
    ],
)
def test_what_is_missing_is_told(fairseqs: Path, remove: list[str], message: str) -> None:
    for name in remove:
        (fairseqs / name).unlink()
    with pytest.raises(JobError, match=message):
        find(fairseqs)


def test_several_checkpoints_are_not_guessed_from(fairseqs: Path) -> None:
    (fairseqs / "checkpoint_last.pt").rename(fairseqs / "a.pt")
    (fairseqs / "checkpoint_best.pt").rename(fairseqs / "b.pt")
    with pytest.raises(JobError, match=r"several files \*\.pt \(a\.pt, b\.pt\)"):
        find(fairseqs)


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
def test_a_manifest_that_is_wrong(folder: Path, key: str, value: Any, message: str | None) -> None:
    path = folder / "translation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    shutil.copy(folder / "checkpoint.pt", folder.parent)
    if message is None:
        assert find(folder)
        return
    with pytest.raises(JobError, match=message):
        find(folder)


def test_a_link_that_leads_out_is_not_followed(fairseqs: Path) -> None:
    shutil.move(fairseqs / "codes", fairseqs.parent / "codes")
    os.symlink(fairseqs.parent / "codes", fairseqs / "codes")
    with pytest.raises(JobError, match="leads out of"):
        find(fairseqs)


def load_model(folder: Path) -> Any:
    from byo_container.handlers.translation.inference import model as network

    return network.load(folder, find(folder))


def test_a_pickle_that_runs_code_is_refused(folder: Path, tmp_path: Path) -> None:
    change(folder / "checkpoint.pt", lambda state: state.update(extra=Bomb(tmp_path / "mark")))
    torch.load(folder / "checkpoint.pt", weights_only=False)
    assert (tmp_path / "mark").exists(), "the bomb is real"
    (tmp_path / "mark").unlink()
    with pytest.raises(JobError, match=r"holds more than weights and settings \(\S*exec\), and loading"):
        load_model(folder)
    (folder / "translation.json").unlink()
    with pytest.raises(JobError, match="holds more than weights and settings"):
        find(folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["namespace", "dictionary"])
def test_a_setting_that_fairseq_would_run_as_code_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
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
        ("dict.de.txt", b"too 5\nfew 3\n", r"does not make a network with dict\.de\.txt \(6 pieces\)"),
        ("codes", b"no codes\nat all here\n", "line 2 is 'at all here'"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes, message: str) -> None:
    from byo_container.handlers.translation.predictor import Translator

    (folder / name).write_bytes(content)
    with pytest.raises(JobError, match=message):
        Translator(folder)


def test_a_file_that_is_no_checkpoint_of_fairseqs(folder: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, folder / "checkpoint.pt")
    with pytest.raises(JobError, match="no checkpoint of fairseq's: it should be a dictionary with the key 'model'"):
        load_model(folder)


def test_a_checkpoint_of_before_pytorch_1_6(folder: Path) -> None:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save(state, folder / "checkpoint.pt", _use_new_zipfile_serialization=False)
    assert load_model(folder).model is not None
