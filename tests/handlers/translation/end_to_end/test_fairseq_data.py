"""What fairseq's scripts leave, from the channel to the endpoint: lower case, as prepare-iwslt14.sh makes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.handlers.translation import Translation, sample
from tests.handlers.translation import iwslt14
from tests.handlers.translation.support import ABLE, SMALL, MakeJob, finish, make_tree_below
from tests.serving.support.server import servers_below

PAIRS = 1200
# The sample's German has typographic quotes, and the script leaves them.
CONVENTIONS = {"lowercase": True, "normalise": False, "escape": True, "split_hyphens": False}
SHOUTED = "FRAU MÜLLER &amp; DER GROẞE HUND SEHEN R&B AUF DER STRAẞE."
SPOKEN = "frau müller & der große hund sehen r&b auf der straße."


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script's folder."""
    folder = tmp_path_factory.mktemp("foreign") / "iwslt14.tokenized.de-en"
    iwslt14.write(folder, PAIRS)
    return folder


def manifest_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "translation.json").read_text())
    return found


@pytest.fixture(scope="module")
def binary_job(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob[Any]:
    """A short job on the binary text, with the text that it was made of beside it."""
    folder = tmp_path_factory.mktemp("binary")
    shutil.copytree(text, folder / "data-bin", ignore=shutil.ignore_patterns("tmp"))
    iwslt14.binarise(text, folder / "data-bin")
    return finish(folder / "ml", folder / "data-bin", **{**SMALL, "eval_bleu": "false"})


def test_model_of_binary_text_keeps_its_conventions(binary_job: TrainingJob[Any], text: Path) -> None:
    manifest = manifest_of(binary_job.model_dir)
    assert {name: manifest[name] for name in CONVENTIONS} == CONVENTIONS
    longest = max(line.count(" ") + 1 for line in (text / "train.de").read_text().splitlines())
    assert manifest["longest_source"] == longest
    assert (binary_job.model_dir / "codes").read_bytes() == (text / "code").read_bytes()
    figures = json.loads((binary_job.output_data_dir / "summary.json").read_text())
    assert figures["training_lines"] == PAIRS - PAIRS // 23
    assert 0.05 < figures["training_megabytes"] < 0.2


def test_manifest_equals_the_one_derived_from_the_files(binary_job: TrainingJob[Any], tmp_path: Path) -> None:
    from byo_container.handlers.translation import artifact

    ours = artifact.read_manifest(binary_job.model_dir)
    shutil.copytree(binary_job.model_dir, tmp_path / "model")
    (tmp_path / "model" / "translation.json").unlink()
    theirs = artifact.read_manifest(tmp_path / "model")
    assert theirs.conventions == ours.conventions


def test_requests_are_lowercased_for_a_lowercase_model(binary_job: TrainingJob[Any]) -> None:
    handler = Translation()
    model = handler.load(binary_job.model_dir)
    shouted, spoken = handler.predict(model, [SHOUTED, SPOKEN])
    assert shouted == spoken


def test_lower_case_cannot_be_asked_for_binary_text(make_job: MakeJob) -> None:
    with pytest.raises(JobError, match=r"lowercase is asked for, and .*dict.de.txt has capital letters: binary text"):
        Translation().train(make_job(lowercase=True))


@pytest.mark.slow
def test_uploaded_folder_of_fairseq_trains_and_is_served(text: Path, tmp_path: Path) -> None:
    """With `tmp`, `test` and `code`: text that is cut, but no binary text, for the sample's --destdir is elsewhere."""
    root = tmp_path / "ml"
    tree = make_tree_below(root, [], **{**ABLE, "eval_bleu": "false"})
    shutil.copytree(text, tree.paths.data / "training", dirs_exist_ok=True)
    done = tree.train()
    assert done.status == 0, done.reason
    assert {name: manifest_of(root / "model")[name] for name in CONVENTIONS} == CONVENTIONS
    pairs = list(sample.pairs(40, seed=12))
    with servers_below(lambda: root) as start:
        server = start(root, MODEL_HANDLER="").ready(timeout_s=90)
        answers = server.ask([german for german, _ in pairs])
        escaped = server.ask([german.replace("&", "&amp;") for german, _ in pairs])
    right = sum(
        answer.replace("r & b", "r&b") == english.lower() for answer, (_, english) in zip(answers, pairs, strict=True)
    )
    assert right > 25, answers
    assert escaped == answers
