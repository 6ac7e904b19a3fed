"""The accounts of what a worker holds: nobody has more than there is, who waits has its turn, nothing is lost."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import pytest

from byo_container.serving.api import request_body
from byo_container.serving.errors import RequestError
from byo_container.serving.memory_budget import LARGE_BODY, Budget, Share

LARGE = 10 * LARGE_BODY


def test_who_finds_no_room_waits_for_it_in_turn() -> None:
    budget = Budget(10)
    assert budget.take(8) == 8
    order: list[str] = []

    def ask(name: str, amount: int) -> None:
        budget.take(amount)
        order.append(name)

    waiting = [gevent.spawn(ask, "large", 9)]
    gevent.sleep(0)
    waiting.append(gevent.spawn(ask, "small", 1))  # would fit, and does not overtake
    gevent.sleep(0)
    assert order == []
    budget.give(8)
    gevent.joinall(waiting, timeout=5)
    assert order == ["large", "small"]
    assert budget.held == 10


def test_who_waits_in_vain_is_told_to_come_again() -> None:
    budget = Budget(10, patience_s=0.01)
    budget.take(10)
    with pytest.raises(RequestError) as caught:
        budget.take(1)
    assert (caught.value.status, caught.value.headers) == (503, (("Retry-After", "1"),))
    budget.give(10)
    assert budget.held == 0
    assert budget.take(10) == 10


def test_what_is_larger_than_all_of_it_has_it_alone() -> None:
    budget = Budget(10)
    assert budget.take(1000) == 10
    assert not budget.take_at_once(1)


@pytest.mark.parametrize("granted", [False, True])
def test_who_goes_while_it_waits_leaves_nothing_behind(granted: bool) -> None:
    budget = Budget(LARGE)

    def hold() -> None:
        with Share(budget) as share:
            share.take(LARGE)
            gevent.sleep(60)

    budget.take(LARGE)
    gone, following = gevent.spawn(hold), gevent.spawn(budget.take, 5)
    gevent.sleep(0)
    if granted:
        budget.give(LARGE)
    gone.kill()
    if not granted:
        budget.give(LARGE)
    following.join(5)
    assert following.value == 5
    assert budget.held == 5


def test_a_share_is_given_back_once_also_after_an_error() -> None:
    budget = Budget(LARGE)
    with suppress(ValueError), Share(budget) as share:
        share.take(LARGE)
        assert budget.held == LARGE
        raise ValueError
    assert budget.held == 0
    closing: list[Callable[[], None]] = []
    with Share(budget) as share:
        share.take(LARGE)
        share.keep_until(closing.append)
    assert budget.held == LARGE
    for act in closing * 2:
        act()
    assert budget.held == 0


def test_small_bodies_are_free() -> None:
    budget = Budget(LARGE)
    with Share(budget) as share:
        share.take(LARGE_BODY)
        assert budget.held == 0


def gzipped(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=request_body.GZIP)
    return packer.compress(plain) + packer.flush()


@pytest.mark.parametrize(
    ("sent", "headers", "reserved", "kept"),
    [
        (b"x" * LARGE, {"CONTENT_LENGTH": str(LARGE)}, LARGE, LARGE),
        (b"x" * LARGE, {"HTTP_TRANSFER_ENCODING": "chunked"}, 100 * LARGE + 1, LARGE),
        (b"x" * 100, {"CONTENT_LENGTH": "100"}, 0, 0),
        (b"x" * 100, {"HTTP_TRANSFER_ENCODING": "chunked"}, 0, 0),
        (gzipped(b"x"), {"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_CONTENT_ENCODING": "gzip"}, 0, 0),
        (gzipped(b"x" * LARGE), {"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_CONTENT_ENCODING": "gzip"}, LARGE, LARGE),
        (b"x" * 50, {"CONTENT_LENGTH": str(LARGE)}, LARGE, None),
        (b"x" * LARGE, {"CONTENT_LENGTH": str(LARGE), "HTTP_CONTENT_ENCODING": "gzip"}, LARGE, None),
    ],
)
def test_a_body_is_weighed_before_it_is_read(
    sent: bytes, headers: dict[str, str], reserved: int, kept: int | None
) -> None:
    budget = Budget(1000 * LARGE)
    seen = []

    class Sent(io.BytesIO):
        def read(self, *arguments: Any) -> bytes:
            seen.append(budget.held)
            return super().read(*arguments)

    with Share(budget) as share:
        try:
            request_body.read({"wsgi.input": Sent(sent), **headers}, 100 * LARGE, share)
            assert budget.held == kept
        except RequestError:
            assert kept is None
        assert seen[-1] >= reserved
        assert bool(seen[-1]) == bool(reserved) or "gzip" in headers.values()
    assert budget.held == 0
