"""Names and numbers in the requests of an endpoint of many models."""

from __future__ import annotations

import orjson
import pytest

from byo_container.serving.api.multi_model import LONGEST_NAME, model_to_load, name_in, page_size
from byo_container.serving.errors import RequestError
from tests.serving.support.model_names import UNROUTABLE

CAN_BE_ASKED = [
    "..",
    ".",
    "../models",
    "a/..",
    "a/../..",
    "...",
    "..a/..b",
    "a%2F..%2F..",
    "\\..\\..",
    "\x01",
    "x" * LONGEST_NAME,
]


def body(name: str) -> bytes:
    return orjson.dumps({"model_name": name, "url": "/x"})


@pytest.mark.parametrize("name", [*UNROUTABLE, "x" * (LONGEST_NAME + 1), "ü" * 2000, "/" * 3000])
def test_a_name_that_no_address_can_hold_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="model_name is") as raised:
        model_to_load(body(name))
    assert raised.value.status == 400


@pytest.mark.parametrize("name", CAN_BE_ASKED)
def test_any_other_text_is_a_name(name: str) -> None:
    assert model_to_load(body(name)) == (name, "/x")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e2", "9" * 5000, "²", " 1"])
def test_a_limit_that_is_none_is_told(limit: str) -> None:
    with pytest.raises(RequestError, match="at least 1 and at most 1000") as raised:
        page_size(limit)
    assert raised.value.status == 400
    assert len(raised.value.message) < 200


def test_limits() -> None:
    assert [page_size(limit) for limit in ("", "1", "1000", "007")] == [100, 1, 1000, 7]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/models/a/invoke", "a"),
        ("/models/a%2Finvoke/invoke?x=/invoke", "a/invoke"),
        ("/models/a%2Finvoke", ""),
        ("/models/invoke", ""),
        ("/models//invoke", ""),
        ("/models/a", ""),
    ],
)
def test_which_model_an_address_invokes(address: str, name: str) -> None:
    assert name_in({"RAW_URI": address}, "/invoke") == name
