"""docs/environment.md lists every variable that `train` and `serve` read, in full, so that it can be searched for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from byo_container.serving.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/environment.md").read_text()
LISTED = set(re.findall(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b", PAGE))
# Set by our own processes for one another, or the platform's and SageMaker's names in texts of another kind.
INTERNAL = {
    "BYO_SERVE_BIND",
    "BYO_SERVE_RUNTIME",
    "TRAINING_FAILURE_FILE",
    "TRAINING_JOB_ENV",
    "TRAINING_PROGRAM",
    "TRAINING_RANKS",
    "TRAINING_SHARDED_CHANNELS",
    "TRAINING_SPARE_MODEL_DIR",
}
NAME = re.compile(r"\"((?:TRAINING|MODEL|MODEL_SERVER|HF|LOG|BYO)_[A-Z0-9_]+)\"")


class Recorder(Mapping[str, str]):
    """An environment in which nothing is set, and which remembers what was looked up."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_setting_of_serve_is_listed() -> None:
    environ = Recorder()
    Settings.from_environment(environ)
    assert len(environ.names) > 30
    assert environ.names - LISTED == set()


@pytest.mark.parametrize("package", ["container", "training", "serving"])
def test_every_variable_named_in_the_code_is_listed(package: str) -> None:
    found = {name for path in (ROOT / package).rglob("*.py") for name in NAME.findall(path.read_text())}
    assert {name for name in found if name not in INTERNAL and name != "LOG_LEVEL"} - LISTED == set()
