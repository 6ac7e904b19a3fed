"""Checkpoints are complete or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.training import checkpoints

RUN = {"data": "a", "seed": 1}
MEANINGS = {"data": "were made from other texts", "seed": "were made with another seed"}


def save(folder: Path, step: int, run: dict[str, object] = RUN) -> Path:
    path = checkpoints.begin(folder, step)
    for name in ("model.safetensors", "optimizer.pt"):
        (path / name).write_bytes(b"x" * 100)
    checkpoints.complete(path, run)
    return path


def test_the_newest_complete_one_counts(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path, RUN, MEANINGS) is None
    save(tmp_path, 9)
    newest = save(tmp_path, 10)
    (tmp_path / "checkpoint-11").mkdir()
    assert checkpoints.newest(tmp_path, RUN, MEANINGS) == newest


def test_no_checkpoint_from_the_moment_on_when_it_is_written_again(tmp_path: Path) -> None:
    path = save(tmp_path, 10)
    checkpoints.begin(tmp_path, 10)
    assert checkpoints.read(path) == "complete.json is missing, so it was not saved or copied completely"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(b"x" * 99), "optimizer.pt is damaged, or not copied completely"),
        (lambda path: path.write_bytes(b"y" * 100), "optimizer.pt is damaged, or not copied completely"),
        (lambda path: path.unlink(), "optimizer.pt is missing"),
        (lambda path: (path.parent / "complete.json").write_text("[]"), "complete.json cannot be read"),
        (lambda path: (path.parent / "complete.json").write_text('{"run": 1, "files": {}}'), "complete.json cannot be"),
    ],
)
def test_damage_is_noticed_and_the_one_before_is_taken(damage, why: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before, path = save(tmp_path, 9), save(tmp_path, 10)
    damage(path / "optimizer.pt")
    found = checkpoints.read(path)
    assert isinstance(found, str)
    assert why in found
    assert checkpoints.newest(tmp_path, RUN, MEANINGS) == before


def test_names_in_a_description_lead_nowhere_else(tmp_path: Path) -> None:
    path = save(tmp_path, 10)
    described = json.loads((path / "complete.json").read_text())
    described["files"] = {"../../secret": described["files"]["optimizer.pt"]}
    (path / "complete.json").write_text(json.dumps(described))
    assert checkpoints.read(path) == "secret is missing, so it was not saved or copied completely"


def test_those_of_another_job_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 10, {"data": "b", "seed": 1})
    with pytest.raises(JobError, match=r"were made from other texts \(data was 'b', now 'a'\)"):
        checkpoints.newest(tmp_path, RUN, MEANINGS)


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    for step in (2, 9, 10, 11):
        save(tmp_path, step)
    checkpoints.rotate(tmp_path, 2, best_step=2)
    assert [path.name for path in checkpoints.newest_first(tmp_path)] == [
        "checkpoint-11",
        "checkpoint-10",
        "checkpoint-2",
    ]
    checkpoints.rotate(tmp_path, 2, best_step=None)
    assert [path.name for path in checkpoints.newest_first(tmp_path)] == ["checkpoint-11", "checkpoint-10"]


def test_what_a_killed_run_has_left_is_removed(tmp_path: Path) -> None:
    kept, left = save(tmp_path, 10), checkpoints.begin(tmp_path, 12)
    checkpoints.remove_incomplete(tmp_path)
    assert kept.exists()
    assert not left.exists()
