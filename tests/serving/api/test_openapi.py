"""schemathesis: requests made from the server's own description, good and bad ones, and answers held against it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)

from byo_container.serving.api import openapi

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

# Hundreds of requests for each path.
pytestmark = pytest.mark.slow

# `FUZZ_EXAMPLES=2000 pytest tests/serving/api/test_openapi.py` looks longer.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/jsonlines", "application/x-npy")
def as_it_is(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


# A WebSocket opens here, which is no exchange of a request and an answer.
one = schemathesis.openapi.from_dict(openapi.document(multi_model=False)).exclude(path_regex="bidirectional")
many = schemathesis.openapi.from_dict(openapi.document(multi_model=True))


@pytest.fixture(scope="module")
def server_of_one(start_for_module: Start) -> Server:
    return start_for_module().ready()


@pytest.fixture(scope="module")
def server_of_many(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("many") / "ml"
    code = root / "models" / "a" / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text("def model_fn(model_dir): return lambda data: data\n")
    return start_for_module(root, SAGEMAKER_MULTI_MODEL="true", MODEL_HANDLER="").ready()


# A model takes more than a document can say, such as any JSON, and less, such as a page's token or a place that exists:
# what looks wrong may be right, and what looks right wrong.
BEYOND = (negative_data_rejection, positive_data_acceptance)


def check(case: Any, server: Server, *beyond: Any) -> None:
    case.call_and_validate(base_url=server.url, timeout=30, excluded_checks=[*BEYOND, *beyond])


@one.parametrize()
@thorough
def test_a_server_of_one_model(case: Any, server_of_one: Server) -> None:
    check(case, server_of_one)


@many.parametrize()
@thorough
def test_a_server_of_many_models(case: Any, server_of_many: Server) -> None:
    check(case, server_of_many, allow_header_conformance)  # GET describes a model called a/invoke


def test_the_document_is_served(server_of_one: Server, server_of_many: Server) -> None:
    assert server_of_one.get("/openapi.json").json() == openapi.document(multi_model=False)
    assert server_of_many.get("/openapi.json").json() == openapi.document(multi_model=True)
