"""SAGEMAKER_SUBMIT_DIRECTORY: code that `serve` fetches from S3 (moto's server) or unpacks."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from byo_container.container.discovery import find_for_serving
from byo_container.container.failure import JobError
from byo_container.container.paths import Paths
from byo_container.serving.models import submitted_code
from tests.serving.support.server import Start

SCRIPT = """
from package.helper import FACTOR
def model_fn(model_dir): return FACTOR
def predict_fn(data, model): return data * model
"""
ADDRESS = "s3://code/model/sourcedir.tar.gz"


def archive(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


CODE = archive({"package/serve.py": SCRIPT, "package/__init__.py": "", "package/helper.py": "FACTOR = 3"})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a server that plays S3."""
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    yield "http://{}:{}".format(*moto.get_host_and_port())
    moto.stop()


@pytest.fixture
def s3(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables by which a bucket with the code is found, set here too."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "S3_")) and name != "AWS_CA_BUNDLE"]:
        monkeypatch.delenv(name)
    variables = {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    requests.post(f"{endpoint}/moto-api/reset", timeout=10)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="code")
    client.put_object(Bucket="code", Key="model/sourcedir.tar.gz", Body=CODE)
    return variables


@pytest.mark.parametrize("kind", ["s3", "archive"])
def test_serve_fetches_the_code_of_a_model(start: Start, root: Path, s3: dict[str, str], kind: str) -> None:
    """As SageMaker's SDK starts `Model(entry_point=…)`, here with a dotted program."""
    (root / "archive.tar.gz").write_bytes(CODE)
    source = ADDRESS if kind == "s3" else f"{root}/archive.tar.gz"
    server = start(
        root,
        MODEL_HANDLER="",
        SAGEMAKER_SUBMIT_DIRECTORY=source,
        SAGEMAKER_PROGRAM="package.serve",
        MODEL_SERVER_WORKERS="2",
        **s3,
    ).ready()
    assert server.ask([1, 2]) == [3, 6]


def test_serve_ends_where_the_code_cannot_be_had(start: Start, root: Path, s3: dict[str, str]) -> None:
    server = start(root, SAGEMAKER_SUBMIT_DIRECTORY="s3://code/nothing.tar.gz", **s3)
    assert server.ended() == 1
    assert "s3://code/nothing.tar.gz: there is neither such an object nor one below it" in server.log()
    assert "Traceback" not in server.log()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    for name in ("model/code", "runtime"):
        (tmp_path / name).mkdir(parents=True)
    return Paths(tmp_path)


def bring(paths: Paths, source: str, **environ: str) -> dict[str, str]:
    environ[submitted_code.VARIABLE] = source
    submitted_code.bring(paths, paths.root / "runtime", environ)
    return environ


@pytest.mark.parametrize("source", ["", "/opt/ml/model/code", "file:///nowhere", "code"])
def test_submit_directory_that_is_a_folder_or_missing_is_ignored(paths: Paths, source: str) -> None:
    assert bring(paths, source)[submitted_code.VARIABLE] == source


def test_nothing_is_fetched_where_the_model_brings_its_script(paths: Paths) -> None:
    (paths.model / "code" / "serve.py").write_text("")
    address = "s3://nowhere/x.tar.gz"
    assert bring(paths, address, SAGEMAKER_PROGRAM="serve.py")[submitted_code.VARIABLE] == address


def test_the_code_is_found_where_it_was_unpacked(paths: Paths) -> None:
    (paths.root / "code.tar.gz").write_bytes(archive({"inference.py": ""}))
    environ = bring(paths, f"file://{paths.root}/code.tar.gz")
    found: Any = find_for_serving(paths, environ)
    assert found.path == paths.root / "runtime" / "code" / "inference.py"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "https://host/code.tar.gz",
            "SAGEMAKER_SUBMIT_DIRECTORY is 'https://host/code.tar.gz'; code comes from a path",
        ),
        ("s3://code", "it must be one such as s3://bucket/job/sourcedir.tar.gz"),
    ],
)
def test_unsupported_url_schemes_are_rejected(paths: Paths, source: str, words: str) -> None:
    with pytest.raises(JobError) as caught:
        bring(paths, source)
    assert words in str(caught.value)
    assert "sagemaker_submit_directory" not in str(caught.value)


def test_an_image_without_boto3(paths: Paths, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    (paths.root / "hidden").mkdir()
    (paths.root / "hidden" / "boto3.py").write_text("raise ModuleNotFoundError('no boto3', name='boto3')")
    monkeypatch.syspath_prepend(str(paths.root / "hidden"))
    monkeypatch.delitem(sys.modules, "boto3")
    with pytest.raises(JobError, match=r"pip install 'byo-container\[s3\]', or put the code into the model's archive"):
        bring(paths, ADDRESS, **s3)
