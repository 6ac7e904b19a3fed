"""CA_REPOSITORY_ARN: the real boto3 asks, the real pip installs. moto knows no CodeArtifact; a server of our own plays
the two calls that are needed, and the index, which wants the token."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from byo_container.container.aws.codeartifact import index_url
from byo_container.container.failure import JobError
from tests.support.tree import Tree

MakeTree = Callable[..., Tree]

ARN = "arn:aws:codeartifact:eu-west-1:123456789012:repository/my-domain/my-repository"
TOKEN = "ey/J+@:?"  # noqa: S105
OWN = {"domain": ["my-domain"], "domain-owner": ["123456789012"]}


def wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("house_tools.py", "VALUE = 42\n")
        archive.writestr("house_tools-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: house-tools\nVersion: 1\n")
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr("house_tools-1.dist-info/WHEEL", kind)
        archive.writestr("house_tools-1.dist-info/RECORD", "")
    return stream.getvalue()


class CodeArtifact(BaseHTTPRequestHandler):
    """The service and its index."""

    refuses: str | None = None
    regions: set[str]

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if address.path.startswith("/pypi/my-repository/simple/"):
            return self.index(address.path)
        self.regions.add(self.headers["Authorization"].split("/")[2])
        if self.refuses:
            return self.answer(403, json.dumps({"message": "no"}).encode(), error=self.refuses)
        if (self.command, address.path, query) == ("POST", "/v1/authorization-token", OWN):
            return self.answer(200, json.dumps({"authorizationToken": TOKEN, "expiration": 1.0}).encode())
        wanted = {**OWN, "repository": ["my-repository"], "format": ["pypi"]}
        if (self.command, address.path, query) == ("GET", "/v1/repository/endpoint", wanted):
            host = f"http://{self.headers['Host']}"
            return self.answer(200, json.dumps({"repositoryEndpoint": f"{host}/pypi/my-repository/"}).encode())
        return self.answer(404, b"{}")

    def index(self, path: str) -> None:
        if self.headers["Authorization"] != "Basic " + base64.b64encode(f"aws:{TOKEN}".encode()).decode():
            return self.answer(401, b"", error="WWW")
        if path.endswith("/house-tools/"):
            name = "house_tools-1-py3-none-any.whl"
            return self.answer(200, f"<html><a href='{name}'>{name}</a></html>".encode(), kind="text/html")
        return self.answer(200, wheel(), kind="application/octet-stream")

    def answer(self, status: int, body: bytes, kind: str = "application/json", error: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CodeArtifact]]:
    kind = type("ThisService", (CodeArtifact,), {"regions": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_CODEARTIFACT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")  # not where the repository is
        yield kind
        server.shutdown()


def job(ml: MakeTree) -> Tree:
    return ml(
        code={"train.py": "import house_tools\nprint(house_tools.VALUE)\n", "requirements.txt": "house-tools==1\n"}
    )


def test_requirements_are_installed_from_codeartifact(ml: MakeTree, service: type[CodeArtifact]) -> None:
    target = str((tree := job(ml)).root / "installed")
    done = tree.train(CA_REPOSITORY_ARN=ARN, PIP_TARGET=target, PYTHONPATH=target)
    assert done.status == 0, done.err
    assert done.out.endswith("42\n")
    assert service.regions == {"eu-west-1"}
    for said in (TOKEN, "ey%2FJ"):
        assert said not in done.out + done.err


def test_index_url_contains_the_token(service: type[CodeArtifact]) -> None:
    assert index_url(ARN).startswith("http://aws:ey%2FJ%2B%40%3A%3F@127.0.0.1:")
    assert index_url(ARN).endswith("/pypi/my-repository/simple/")


def test_denied_access_is_explained(ml: MakeTree, service: type[CodeArtifact]) -> None:
    service.refuses = "AccessDeniedException"
    done = job(ml).train(CA_REPOSITORY_ARN=ARN)
    assert done.status == 1
    assert done.reason.startswith(
        f"the package index {ARN}, which CA_REPOSITORY_ARN names, cannot be used: the job's role may not do so "
        "(AccessDeniedException at GetAuthorizationToken)"
    )


@pytest.mark.parametrize("arn", ["my-repository", ARN.rpartition("/")[0], ARN.replace("codeartifact", "s3")])
def test_invalid_arn_is_rejected(arn: str) -> None:
    with pytest.raises(JobError, match=r"CA_REPOSITORY_ARN is .*; it must be one such as arn:aws:codeartifact"):
        index_url(arn)


def test_codeartifact_is_not_called_without_requirements(ml: MakeTree, service: type[CodeArtifact]) -> None:
    assert ml(code={"train.py": ""}).train(CA_REPOSITORY_ARN=ARN).status == 0
    assert service.regions == set()
