"""Which of several failures is the cause of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from byo_container.container.failure import is_secondary


@dataclass(frozen=True)
class Failure:
    """An exit status and the reason. `host_lost` says that a host died or hangs, which no other failure causes."""

    status: int
    text: str
    host_lost: bool = False


def root_cause(failures: Iterable[Failure]) -> Failure | None:
    """The first failure, in the order of `failures`, that is not a secondary one by its text; the first of all where
    each is; None where there is none.

    When one rank dies, its peers fail in their next collective, and often report it first.
    """
    return min(failures, key=lambda failure: not failure.host_lost and is_secondary(failure.text), default=None)
