"""Engines for tests: of a plain function, and of a servable that is loaded already."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.models.servable import Servable


def do_nothing() -> None:
    """For what a test does not look at."""


class FunctionModel:
    """A model that is a function of a list of items."""

    def __init__(
        self,
        compute: Callable[[list[Any]], list[Any]],
        policy: BatchPolicy,
        load: Callable[[], Any],
        on_stuck: Callable[[], Any],
    ) -> None:
        self.batch_policy = policy
        self.compute = compute
        self.load = load
        self.on_stuck = on_stuck

    def context(self) -> AbstractContextManager[None]:
        return nullcontext()


def engine_of(
    compute: Callable[[list[Any]], list[Any]],
    *,
    policy: BatchPolicy = BatchPolicy(),  # noqa: B008
    load: Callable[[], Any] = do_nothing,
    on_stuck: Callable[[], Any] = do_nothing,
    threads: int = 1,
    timeout_s: float = 20,
) -> Engine:
    return Engine(FunctionModel(compute, policy, load, on_stuck), threads=threads, timeout_s=timeout_s)


class AlreadyLoaded:
    """A servable that its test has loaded."""

    def __init__(self, servable: Servable) -> None:
        self.batch_policy, self.context, self.compute = servable.batch_policy, servable.context, servable.compute

    def load(self) -> None:
        """It is loaded."""

    def on_stuck(self) -> None:
        raise AssertionError("a computation does not end")


def engine_for(servable: Servable) -> Engine:
    return Engine(AlreadyLoaded(servable))
