"""The handler without the packages of its extra."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.news import NewsClassifier


@pytest.mark.parametrize("package", ["numpy", "keras", "tensorflow"])
def test_missing_package_is_reported_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        JobError, match=rf"needs the package {package}, which is not installed; install its extra: .pip"
    ):
        NewsClassifier().load(tmp_path)
