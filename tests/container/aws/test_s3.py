"""Downloading code from S3: the real boto3 against a real server (moto)."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from byo_container.container.aws import s3
from byo_container.container.aws.client import ATTEMPTS
from byo_container.container.failure import JobError
from byo_container.container.source.fetch import fetch
from tests.support.tree import Finished, Tree, write_files

MakeTree = Callable[..., Tree]

SHOW = "import os\nprint(sorted(os.listdir()))\nprint(os.environ['SM_MODULE_DIR'])\n"
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that plays S3 (moto)."""
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    yield "http://{}:{}".format(*moto.get_host_and_port())
    moto.stop()


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """S3 with an empty bucket `code`, found by this process and its children as a job would find it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "S3_")) and name != "AWS_CA_BUNDLE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's ~/.aws
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    requests.post(f"{server}/moto-api/reset", timeout=10)
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def archive(*members: tarfile.TarInfo, **files: str) -> bytes:
    """A tar.gz of `members` and of files by name, whose dots are written as underscores."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            tar.addfile(member)
    return stream.getvalue()


def job(ml: MakeTree, address: str, **given: str) -> Tree:
    return ml(hyperparameters={"sagemaker_program": '"my.py"', "sagemaker_submit_directory": f'"{address}"', **given})


def failed(ml: MakeTree, address: str, within_s: float = 60, **environ: str) -> str:
    """The failure reason of a job whose code cannot be downloaded. It comes soon and has no traceback."""
    began = time.monotonic()
    done: Finished = (tree := job(ml, address)).train(**environ)
    assert time.monotonic() - began < within_s
    assert done.status == 1
    assert "Traceback" not in done.reason + done.err
    assert address in done.reason
    assert list(tree.paths.code.iterdir()) == []
    return done.reason


def test_archive_is_downloaded_unpacked_and_run(ml: MakeTree, aws: Any, tmp_path: Path) -> None:
    address = "s3://code/job-1/source/sourcedir.tar.gz"
    aws.put_object(Bucket="code", Key="job-1/source/sourcedir.tar.gz", Body=archive(my_py=SHOW, other_txt=""))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = job(ml, address).train(TMPDIR=str(scratch))
    assert done.status == 0, done.err
    assert done.out == f"['my.py', 'other.txt']\n{address}\n"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("objects", "address", "there"),
    [
        ({"a/sourcedir.tar.gz": archive(my_py="")}, "s3://code/a/sourcedir.tar.gz", ["my.py"]),
        ({"a/no-suffix": archive(my_py="")}, "s3://code/a/no-suffix", ["my.py"]),
        ({"a/my.py": b"1"}, "s3://code/a/my.py", ["my.py"]),
        ({"a/b/my.py": b"", "a/b/c/d.py": b"", "a/bc/x.py": b"", "a/b/": b""}, "s3://code/a/b", ["c/d.py", "my.py"]),
        ({"a/b/my.py": b"", "a/b/c/d.py": b""}, "s3://code/a/b/", ["c/d.py", "my.py"]),
        ({"a/my ?#%20.py": b""}, "s3://code/a/my ?#%20.py", ["my ?#%20.py"]),
    ],
)
def test_address_names_an_object_or_a_prefix(
    aws: Any, tmp_path: Path, objects: dict[str, bytes], address: str, there: list[str]
) -> None:
    for key, body in objects.items():
        aws.put_object(Bucket="code", Key=key, Body=body)
    fetch(address, tmp_path / "code")
    found = [path for path in (tmp_path / "code").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path / "code")) for path in found) == there


def test_prefix_listing_is_paginated(aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        aws.put_object(Bucket="code", Key=f"many/{number}.py", Body=b"")
    assert aws.list_objects_v2(Bucket="code")["KeyCount"] == 2, "else this shows nothing"
    fetch("s3://code/many", tmp_path / "code")
    assert len(list((tmp_path / "code").iterdir())) == 5


def test_download_folder_is_private(aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.put_object(Bucket="code", Key="my.py", Body=b"")
    modes = []
    save = s3._save

    def look_and_save(client: Any, bucket: str, key: str, path: Path) -> None:
        modes.append(path.parent.stat().st_mode & 0o777)
        save(client, bucket, key, path)

    monkeypatch.setattr(s3, "_save", look_and_save)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fetch("s3://code/my.py", tmp_path / "code")
    assert modes == [0o700]
    assert [path.name for path in tmp_path.iterdir()] == ["code"]


def test_s3_endpoint_url_overrides_aws_endpoint_url(ml: MakeTree, aws: Any, server: str) -> None:
    aws.put_object(Bucket="code", Key="my.py", Body=b"print('here')")
    nowhere = "http://127.0.0.1:9"
    done = job(ml, "s3://code/my.py").train(S3_ENDPOINT_URL=server, AWS_ENDPOINT_URL_S3=nowhere)
    assert (done.status, done.out) == (0, "here\n"), done.err


class Recorder(BaseHTTPRequestHandler):
    """An S3 that has one object, breaks off its first answer in the middle, and records the Authorization headers."""

    body = b"print('whole')\n"
    breaks = 1
    seen: list[str]

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[:5] if len(self.seen) <= self.breaks else self.body)

    def log_message(self, *_: Any) -> None:
        return


@contextlib.contextmanager
def recorder(breaks: int) -> Iterator[tuple[str, list[str]]]:
    kind = type("ThisRecorder", (Recorder,), {"breaks": breaks, "seen": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind.seen  # type: ignore[attr-defined]
        server.shutdown()


@pytest.mark.parametrize(
    ("environ", "given", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, {"sagemaker_region": '"eu-west-2"'}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, {"sagemaker_region": '"eu-west-2"'}, "eu-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, {}, "eu-west-3"),
        ({}, {}, "us-east-1"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_region_from_environment_or_hyperparameter(
    ml: MakeTree, environ: dict[str, str], given: dict[str, str], region: str
) -> None:
    with recorder(breaks=0) as (endpoint, seen):
        done = job(ml, "s3://code/my.py", **given).train(AWS_ENDPOINT_URL_S3=endpoint, **environ)
    assert done.status == 0, done.err
    assert f"/{region}/s3/aws4_request" in seen[0]


@pytest.mark.usefixtures("aws")
def test_truncated_download_is_retried(ml: MakeTree) -> None:
    with recorder(breaks=1) as (endpoint, seen):
        done = job(ml, "s3://code/my.py").train(AWS_ENDPOINT_URL_S3=endpoint)
    assert (done.status, done.out) == (0, "whole\n"), done.err
    assert len(seen) == 2


@pytest.mark.usefixtures("aws")
def test_download_that_is_always_truncated_fails_after_three_attempts(ml: MakeTree) -> None:
    with recorder(breaks=99) as (endpoint, seen):
        assert failed(ml, "s3://code/my.py", AWS_ENDPOINT_URL_S3=endpoint)
    assert len(seen) == ATTEMPTS


@pytest.mark.usefixtures("aws")
def test_sigterm_ends_a_download(ml: MakeTree) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tree = job(ml, "s3://code/my.py")
        process = tree.start(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.accept()[0].recv(1)  # it asks, and waits for an answer
        process.terminate()
        done = tree.finish(process, 10)
    assert done.status == 143
    assert "stopped by SIGTERM before it had finished" in done.reason


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://no-such-bucket/sourcedir.tar.gz", "there is no such bucket; see that its name is spelled right"),
        ("s3://code/nothing.tar.gz", "there is neither such an object nor one below it"),
        ("s3://code/folder/", "there is neither such an object nor one below it"),
        ("s3://code", "it must be one such as s3://bucket/job/sourcedir.tar.gz"),
        ("s3://code//", "it must be one such as s3://bucket/job/sourcedir.tar.gz"),
        ("s3:///sourcedir.tar.gz", "it must be one such as s3://bucket/job/sourcedir.tar.gz"),
        ("s3://No Bucket/sourcedir.tar.gz", "Invalid bucket name"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_missing_bucket_key_or_invalid_address_is_explained(ml: MakeTree, address: str, said: str) -> None:
    assert said in failed(ml, address)


def test_missing_credentials_are_explained(ml: MakeTree, aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    said = failed(ml, "s3://code/my.py", within_s=15)
    assert "Unable to locate credentials; give the job a role, or AWS_ACCESS_KEY_ID" in said
    assert "; or bring the code in a channel" in said


def test_invalid_or_denied_credentials_are_explained(ml: MakeTree, aws: Any, server: str) -> None:
    iam = boto3.client("iam", endpoint_url=server, region_name=REGION)
    iam.create_user(UserName="without-permissions")
    key = iam.create_access_key(UserName="without-permissions")["AccessKey"]
    requests.post(f"{server}/moto-api/reset-auth", data=b"0", timeout=10)  # from here on, who asks must be allowed to
    try:
        said = failed(ml, "s3://code/my.py")
        assert "AWS does not know the access key; see AWS_ACCESS_KEY_ID (InvalidAccessKeyId at GetObject)" in said
        own = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        said = failed(ml, "s3://code/my.py", **own)
        assert "the execution role may not read it (s3:GetObject; s3:ListBucket for a folder), or" in said
    finally:
        requests.post(f"{server}/moto-api/reset-auth", data=b"inf", timeout=10)


@pytest.mark.usefixtures("aws")
def test_refused_connection_is_explained(ml: MakeTree) -> None:
    said = failed(ml, "s3://code/my.py", AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    assert said.startswith("the code cannot be fetched from s3://code/my.py: AWS cannot be reached (")
    assert "http://127.0.0.1:9" in said
    assert "bring the code in a channel (file:///opt/ml/input/data/code/sourcedir.tar.gz)" in said


@pytest.mark.usefixtures("aws")
def test_unresolvable_endpoint_is_explained(ml: MakeTree) -> None:
    said = failed(ml, "s3://code/my.py", AWS_ENDPOINT_URL_S3="http://s3.nowhere.invalid")
    assert "AWS cannot be reached (" in said


@pytest.mark.slow
@pytest.mark.usefixtures("aws")
def test_dropped_packets_are_explained(ml: MakeTree) -> None:
    """What network isolation and a VPC without an endpoint look like. A full backlog swallows them as well."""
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        said = failed(ml, "s3://code/my.py", AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert "AWS cannot be reached (" in said
    assert "timed out" in said.lower() or "timeout" in said.lower()


@pytest.mark.usefixtures("aws")
def test_invalid_endpoint_is_explained(ml: MakeTree) -> None:
    assert "Invalid endpoint: nonsense" in failed(ml, "s3://code/my.py", S3_ENDPOINT_URL="nonsense")


@pytest.mark.usefixtures("aws")
def test_missing_boto3_is_explained(ml: MakeTree, tmp_path: Path) -> None:
    write_files(tmp_path / "hidden", {"boto3.py": "raise ModuleNotFoundError('no boto3', name='boto3')"})
    said = failed(ml, "s3://code/my.py", PYTHONPATH=str(tmp_path / "hidden"))
    assert "boto3 is not installed in this image; pip install 'byo-container[s3]'" in said


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>not found</html>", "s3://code/x.tar.gz cannot be unpacked: "),
        (archive(my_py=SHOW)[:-30], "s3://code/x.tar.gz cannot be unpacked: "),
        (archive(tarfile.TarInfo("../my.py"), my_py=""), "s3://code/x.tar.gz: '../my.py' would not stay in "),
        (archive(link("out", "/etc"), my_py=""), "s3://code/x.tar.gz: 'out' is a link or a device"),
    ],
)
def test_invalid_archive_is_rejected(ml: MakeTree, aws: Any, body: bytes, said: str) -> None:
    aws.put_object(Bucket="code", Key="x.tar.gz", Body=body)
    assert failed(ml, "s3://code/x.tar.gz").startswith(said)


@pytest.mark.parametrize("key", ["a/../../escaped.py", "a/./b.py", "a//b.py"])
def test_keys_with_dot_dot_are_rejected(aws: Any, tmp_path: Path, key: str) -> None:
    aws.put_object(Bucket="code", Key="a/my.py", Body=b"")
    aws.put_object(Bucket="code", Key=key, Body=b"")
    with pytest.raises(JobError, match="would not stay in the folder of the code"):
        fetch("s3://code/a", tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []


def test_boto3_is_imported_only_for_s3(ml: MakeTree) -> None:
    done = ml(code={"train.py": ""}).train(PYTHONVERBOSE="1")
    assert done.status == 0
    assert "botocore" not in done.err
