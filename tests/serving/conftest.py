"""Fixtures that start servers: for one test, or for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.support.server import Server, Start, make_root, servers_below


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(root=None, prefix=(), cwd=None, handler=TOY, **environment)`: a server in tmp_path/ml, for one test."""
    with servers_below(lambda: tmp_path / "ml") as start:
        yield start


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The same for servers that several tests share."""
    with servers_below(lambda: tmp_path_factory.mktemp("root") / "ml") as start:
        yield start


@pytest.fixture(scope="module", params=["nginx", "gunicorn alone"])
def server(request: pytest.FixtureRequest, start_for_module: Start) -> Server:
    """With two workers and payloads of 1 MB; every test that takes it runs in both ways."""
    return start_for_module(
        MODEL_SERVER_WORKERS="2",
        MODEL_SERVER_NGINX="on" if request.param == "nginx" else "off",
        SAGEMAKER_MAX_PAYLOAD_IN_MB="1",
    ).ready()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for `start`, to be changed before."""
    return make_root(tmp_path / "ml")
