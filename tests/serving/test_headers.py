"""Headers: found under any spelling, and none that would split an answer."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.serving import headers
from byo_container.serving.models.servable import Reply
from tests.serving.support.server import Server

ENVIRON = {
    "CONTENT_TYPE": "text/csv",
    "CONTENT_LENGTH": "3",
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "a=1",
    "HTTP_ACCEPT": "*/*",
    "wsgi.input": None,
    "REQUEST_METHOD": "POST",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "text/csv"),
        ("content-type", "text/csv"),
        ("Content-Length", "3"),
        ("x-amzn-sagemaker-custom-attributes", "a=1"),
        ("Nothing", ""),
    ],
)
def test_a_header_is_found_whatever_the_case_of_its_name(name: str, value: str) -> None:
    assert headers.look_up(ENVIRON, name) == value


def test_all_headers_are_spelled_as_the_platform_spells_them() -> None:
    assert headers.all_of(ENVIRON) == {
        "Content-Type": "text/csv",
        "Content-Length": "3",
        "X-Amzn-SageMaker-Custom-Attributes": "a=1",
        "Accept": "*/*",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A\r\nSet-Cookie", "x"),
        ("X-A", "x\r\nSet-Cookie: evil"),
        ("X-A", "x\x00"),
        ("X-A", "x\x85Set-Cookie: evil"),
        ("X-A", "\u0394"),
        ("X A", "x"),
        ("X:A", "x"),
        ("", "x"),
        ("X-A", 1),
        ("Content-Length", "100"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("Content-Type", "a/b"),
        ("X-Accel-Redirect", "/metrics"),
    ],
)
def test_an_answer_has_no_header_that_would_split_it(name: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="the answer's header"):
        Reply(b"", "text/plain", headers=((name, value),))


@pytest.mark.parametrize("media", ["a/b\r\nSet-Cookie: evil", "a/b\n", "\u0394/b", 1])
def test_an_answer_has_no_media_type_that_would_split_it(media: Any) -> None:
    with pytest.raises(ValueError, match="media type"):
        Reply(b"", media)


def test_ordinary_headers_pass() -> None:
    reply = Reply(b"", "audio/wav;rate=8000", headers=(("X-Trace", "caf\xe9 \t~"), ("Set-Cookie", "a=b; Path=/")))
    assert len(reply.headers) == 2


def test_a_handler_sees_the_content_type_and_adds_no_header_for_a_client(start: Any) -> None:
    server: Server = start(handler="talker:Talker").ready()
    seen = server.post(json={"header": "Content-Type"})
    assert seen.json() == "application/json"
    refused = server.post(json={"type": "a/b\r\nSet-Cookie: session=evil", "value": "x"})
    assert refused.status_code == 500
    assert "Set-Cookie" not in refused.headers
