"""The images under test, each built once in a session; docker's cache makes most of it quick."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.images.docker import REPOSITORY, build, skip_without_engine


@pytest.fixture(scope="session")
def engine() -> None:
    skip_without_engine()


@pytest.fixture(scope="session")
def none_image(engine: None) -> str:
    return build("none", HANDLERS="none")


@pytest.fixture(scope="session")
def news_image(engine: None) -> str:
    return build("news", HANDLERS="news")


@pytest.fixture(scope="session")
def mpi_image(engine: None) -> str:
    return build("mpi", HANDLERS="none", EXTRAS="s3,mpi")


@pytest.fixture(scope="session")
def tensorflow_image(engine: None) -> str:
    return build("tensorflow", HANDLERS="none", EXTRAS="s3,tensorflow")


@pytest.fixture(scope="session")
def translation_image(engine: None) -> str:
    return build("translation", HANDLERS="translation")


@pytest.fixture(scope="session")
def text_classification_image(engine: None) -> str:
    return build("text_classification", HANDLERS="text_classification")


@pytest.fixture(scope="session")
def shout_image(none_image: str) -> str:
    """The example of an own handler."""
    return build("shout", file="Dockerfile", folder=REPOSITORY / "examples/own_handler", BYO_CONTAINER=none_image)


@pytest.fixture(scope="session")
def line_image(none_image: str) -> str:
    """The example of own scripts."""
    return build("line", file="Dockerfile", folder=REPOSITORY / "examples/own_scripts", BYO_CONTAINER=none_image)


@pytest.fixture
def points(tmp_path: Path) -> str:
    """A channel with points on the line y = 2x + 1."""
    folder = tmp_path / "points"
    folder.mkdir()
    (folder / "points.csv").write_text("0,1\n1,3\n2,5\n")
    return str(folder)
