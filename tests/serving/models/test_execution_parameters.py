"""Batch transform: what the platform should send, and its payloads of many records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from byo_container.container.failure import JobError
from byo_container.serving.models.execution_parameters import checked

if TYPE_CHECKING:
    from tests.serving.support.server import Start

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ([], "must be a dict"),
        ({"MaxPayload": 1}, "did you mean 'MaxPayloadInMB'"),
        ({"MaxPayloadInMB": 0}, "1 or more"),
        ({"MaxPayloadInMB": True}, "1 or more"),
        ({"MaxConcurrentTransforms": "4"}, "whole number"),
        ({"MaxConcurrentTransforms": 11, "MaxPayloadInMB": 10}, "at most 100"),
        ({"BatchStrategy": "MultiRecord"}, "MULTI_RECORD"),
    ],
)
def test_invalid_execution_parameters_are_refused(own: Any, words: str) -> None:
    with pytest.raises(JobError) as caught:
        checked(own, "a:B")
    assert words in str(caught.value)


FIGURES = '{"MaxConcurrentTransforms": 7, "MaxPayloadInMB": 9, "BatchStrategy": "SINGLE_RECORD"}'


@pytest.mark.parametrize("brought", ["handler", "inference.py"])
@pytest.mark.parametrize(("batch", "named"), [("true", True), ("True", False)])
def test_models_execution_parameters_are_served(
    start: Start, root: Path, brought: str, batch: str, named: bool
) -> None:
    if brought == "handler":
        toy = f"from toy import Toy\n\nclass Own(Toy):\n    execution_parameters = {FIGURES}\n"
        (root / "code" / "own.py").write_text(toy)
    else:
        script = f"execution_parameters = {FIGURES}\ndef model_fn(d): return lambda x: x\n"
        (root / "code" / "inference.py").write_text(script)
    server = start(root, MODEL_HANDLER="own:Own" if brought == "handler" else "", SAGEMAKER_BATCH=batch).ready()
    expected = json.loads(FIGURES)
    if not named:
        del expected["BatchStrategy"]
    assert server.get("/execution-parameters").json() == expected


@pytest.mark.parametrize("nginx", ["on", "off"])
def test_batch_of_large_payloads_is_answered_in_order(start: Start, nginx: str) -> None:
    """As the platform sends them: lines as they stand in the file, in chunks, of a length that it does not say."""
    server = start(SAGEMAKER_BATCH="true", MODEL_SERVER_NGINX=nginx).ready()
    lines = [json.dumps({"n": n, "text": "x" * 1000}, separators=(",", ":")).encode() for n in range(20_000)]
    body = b"\n".join(lines) + b"\n"

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(body), 100_001):  # which cuts lines anywhere
            yield body[at : at + 100_001]

    kind = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
    answer = server.post(data=chunks(), headers=kind, timeout=60)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.content == body
    rows = b"".join(b'%d,"a,""b""\nc"\n' % n for n in range(50_000))
    answer = server.post(data=rows, headers={"Content-Type": "text/csv", "Accept": "text/csv"}, timeout=60)
    assert answer.content == rows


def test_payload_limit_is_100_megabytes(start: Start) -> None:
    server = start(SAGEMAKER_BATCH="True").ready()
    fits = json.dumps("x" * (100 * MEGABYTE - 2)).encode()
    answer = server.post(data=fits, headers={"Content-Type": "application/json"}, timeout=90)
    assert (answer.status_code, len(answer.content)) == (200, 100 * MEGABYTE)
    assert server.post(data=fits + b" ", timeout=90).status_code == 413
