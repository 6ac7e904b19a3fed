"""The context of a user's functions, by multi-model-server's names and parameters."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.serving.headers import cgi_name
from byo_container.serving.models.script.context import Context
from byo_container.serving.models.servable import Request


def request(**given: str) -> Request:
    variables = {cgi_name(name.replace("_", "-")): value for name, value in given.items()}
    return Request(b"", "", "", lambda name: variables.get(cgi_name(name), ""), variables=variables)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "model").mkdir()
    context = Context(tmp_path / "model")
    context.begin(request(X_Amzn_SageMaker_Custom_Attributes="trace=1", Content_Type="a/b", X_Request_Id="42"))
    return context


def test_context_describes_the_model(context: Context, tmp_path: Path) -> None:
    properties = context.system_properties
    assert properties.keys() == {"model_dir", "gpu_id", "batch_size", "server_name", "server_version"}
    assert (properties["model_dir"], properties["batch_size"]) == (str(tmp_path / "model"), 1)
    assert (context.model_name, context.manifest) == ("model", None)


def test_manifest_is_read(tmp_path: Path) -> None:
    (tmp_path / "MAR-INF").mkdir()
    manifest = tmp_path / "MAR-INF" / "MANIFEST.json"
    manifest.write_text('{"model": {}}')
    assert Context(tmp_path).manifest == {"model": {}}
    manifest.write_text("{")
    with pytest.raises(JobError, match=r"MANIFEST\.json is no JSON"):
        Context(tmp_path)


@pytest.mark.parametrize(("devices", "gpu"), [("", None), ("-1", None), ("0", 0), ("3", 0)])
def test_gpu_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: str, gpu: object) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    assert Context(tmp_path).system_properties["gpu_id"] == gpu


@pytest.mark.parametrize("name", ["X-Amzn-SageMaker-Custom-Attributes", "x-amzn-sagemaker-custom-attributes"])
def test_header_names_ignore_case(context: Context, name: str) -> None:
    headers = context.get_all_request_header(idx=0)
    assert headers[name] == headers.get(name) == context.get_request_header(idx=0, key=name) == "trace=1"
    assert name in headers
    assert "X-Other" not in headers
    assert headers.get("X-Other", "none") == "none"
    with pytest.raises(KeyError):
        headers["X-Other"]
    assert set(headers) == {"X-Amzn-SageMaker-Custom-Attributes", "Content-Type", "X-Request-Id"}


def test_response_by_multi_model_servers_parameters(context: Context) -> None:
    assert context.request_processor is not None
    (processor,) = context.request_processor
    assert processor.is_plain
    context.set_response_status(code=400, phrase="bad", idx=0)
    assert context.get_response_status(idx=0) == (400, "bad")
    context.set_all_response_status(code=201, phrase="made")
    assert processor.get_response_status_code() == 201
    context.set_response_content_type(idx=0, value="a/b")
    context.set_response_header(idx=0, key="X-Mine", value="1")
    assert context.get_response_content_type(idx=0) == "a/b"
    assert context.get_response_headers(idx=0) == {"content-type": "a/b", "X-Mine": "1"}
    assert context.get_request_id(idx=0) == context.get_request_id() == "42"
    assert context.request_ids == {0: "42"}
    assert not processor.is_plain


def test_context_is_empty_outside_of_requests(tmp_path: Path) -> None:
    context = Context(tmp_path)
    context.set_response_status(500)
    context.set_response_header(0, "X", "1")
    assert context.request_processor is None
    assert (context.get_request_header(0, "X"), context.get_all_request_header(0)) == (None, {})
    assert context.get_request_id() is None


def test_context_shows_the_request_of_its_thread(context: Context) -> None:
    begun, looked, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        context.begin(request(X_Request_Id="other"))
        begun.set()
        looked.wait(30)
        seen.append(context.get_request_id())

    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(30)
    assert context.get_request_id() == "42"
    context.end()
    looked.set()
    thread.join()
    assert seen == ["other"]


def test_context_shows_the_latest_request_in_a_scripts_own_thread(context: Context) -> None:
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(context.get_request_id()))
    thread.start()
    thread.join()
    assert seen == ["42"]


def test_metrics_are_logged(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.INFO)
    context.metrics.add_counter("calls", 1)
    context.metrics.add_time("took", 2.5, idx=0, unit="s")
    context.metrics.add_size("size", 3, unit="kB")
    context.metrics.add_percent("used", 4)
    context.metrics.add_error("fault", "bad")
    context.metrics.add_metric("any", 5, unit="apples", dimensions=["Level:Model"])
    assert [record.getMessage().removeprefix("metric of model: ") for record in caplog.records] == [
        "calls = 1 count",
        "took = 2.5 s",
        "size = 3 kB",
        "used = 4 percent",
        "fault = bad",
        "any = 5 apples, Level:Model",
    ]


def test_private_names_of_multi_model_server_and_torchserve(context: Context) -> None:
    """Public handlers read them."""
    for name in ("system_properties", "manifest", "metrics", "request_processor", "request_ids", "model_name"):
        assert getattr(context, f"_{name}") == getattr(context, name)
    mine: Any = object()
    context._metrics = mine
    assert context.metrics is mine
    (processor,) = context._request_processor
    assert processor._request_header["Content-Type"] == "a/b"
    processor._response_header["X-One"] = "1"
    processor._status_code, processor._reason_phrase = 201, "Made"
    assert context.get_response_headers(0) == {"X-One": "1"}
    assert context.get_response_status(0) == (201, "Made")
