"""CONTRIBUTING.md: the map of folders has all of them, and names no module that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ROWS = re.findall(r"^\| \**`([\w/]+/)`\S*(?:, `([\w/]+/)`)? \| (.*) \|$", TEXT, re.MULTILINE)
PACKAGES = ("container", "training", "serving", "byo_container/testing")


def test_every_package_is_on_the_map() -> None:
    listed = {name.rstrip("/") for row in ROWS for name in row[:2] if name}
    there = {
        str(path.parent.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")
    }
    assert there - listed == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_the_modules_of_a_folder_are_there(row: tuple[str, str, str]) -> None:
    folder, other, text = row
    for name in re.findall(r"`(\w+\.py)`", text):
        places = [ROOT / folder / name, ROOT / "handlers/news" / name, ROOT / (other or folder) / name]
        assert any(place.exists() for place in places), f"{folder}{name}"
