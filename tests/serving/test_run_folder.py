"""What the processes of one run share on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from byo_container.serving.run_folder import PREFIX, RunFolder, new_run_folder
from byo_container.serving.settings import Settings


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_settings_are_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment({"MODEL_SERVER_WORKERS": "3", "MODEL_SERVER_BATCH_DELAY_MS": "0"})
    with new_run_folder() as run:
        run.write_settings(settings)
        for name, value in run.environment.items():
            monkeypatch.setenv(name, value)
        assert RunFolder.from_environment() == run
        assert RunFolder.from_environment().read_settings() == settings


def test_folder_is_removed_at_the_end(temporary: Path) -> None:
    with new_run_folder() as run:
        run.sessions.mkdir()
    assert not list(temporary.iterdir())


def test_folders_of_killed_runs_are_removed_and_those_of_running_ones_kept(temporary: Path) -> None:
    with new_run_folder() as running:
        killed = temporary / f"{PREFIX}killed"
        killed.mkdir()
        (killed / "lock").touch()
        (temporary / f"{PREFIX}without-lock").mkdir()  # has just been made, or is none of ours
        with new_run_folder():
            assert running.path.exists()
            assert (temporary / f"{PREFIX}without-lock").exists()
            assert not killed.exists()
