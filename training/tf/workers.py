"""The workers of MultiWorkerMirroredStrategy: exchanging values, and ending together."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

POLL_INTERVAL_S = 2.0


class Workers:
    """All workers of the strategy. They communicate by the key-value store of TensorFlow's coordination service, which
    the first worker hosts and which has no public API.

    Each worker counts the calls that all of them must make together. A worker that has made more such calls than one
    that has ended would wait for it for ever, and is ended with an error instead.
    """

    def __init__(self, strategy: Any) -> None:
        from tensorflow.python.eager import context

        resolver = strategy.cluster_resolver
        self._store = context.context()
        self._number = int(resolver.task_id)
        self.names = [task.rpartition(":")[0] for task in resolver.cluster_spec().job_tasks("worker")]
        self._others = [number for number in range(len(self.names)) if number != self._number]
        self._calls = 0
        self._last_call = ""
        self._has_left = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def counted(self, function: Callable[..., Any], description: str) -> Callable[..., Any]:
        """`function`, which all workers must call together; the error message says by `description` what a call
        does."""

        def count_and_call(*arguments: Any, **options: Any) -> Any:
            self._calls += 1
            self._last_call = description
            return function(*arguments, **options)

        return functools.update_wrapper(count_and_call, function)

    def exchange(self, topic: str, value: str) -> list[str]:
        """Sends `value` to all workers and waits for theirs. Returns the values in the workers' order. A topic can be
        used once."""
        self._store.set_config_key_value(f"byo/{topic}/{self._number}", value)
        numbers = range(len(self.names))
        return [value if number == self._number else self._wait_for(f"byo/{topic}/{number}") for number in numbers]

    def leave(self) -> None:
        """Waits until the scripts of all workers have ended."""
        self._store.set_config_key_value(f"byo/ended/{self._number}", str(self._calls))
        for other in self._others:
            self._wait_for(f"byo/ended/{other}")
        self._store.set_config_key_value(f"byo/left/{self._number}", "")
        if self._number == 0:  # the store must outlive the others' requests
            for other in self._others:
                self._wait_for(f"byo/left/{other}")
        self._has_left.set()
        self._watcher.join()  # a thread inside TensorFlow would crash while Python exits

    def _wait_for(self, key: str) -> str:
        while (value := self._look_up(key, 500)) is None:
            pass  # not in one call, so that Python can run signal handlers
        return value

    def _look_up(self, key: str, timeout_ms: int) -> str | None:
        from tensorflow.errors import DeadlineExceededError

        with contextlib.suppress(DeadlineExceededError):
            return str(self._store.get_config_key_value(key, timeout_in_ms=timeout_ms))
        return None

    def _watch(self) -> None:
        """Ends the process with an error when it waits for a worker that has ended."""
        from tensorflow.errors import OpError

        ended: dict[int, int] = {}
        with contextlib.suppress(OpError):  # the first worker has gone, which the main thread notices too
            while not self._has_left.wait(POLL_INTERVAL_S):
                for other in self._others:
                    calls = self._look_up(f"byo/ended/{other}", 1) if other not in ended else None
                    if calls is not None:
                        ended[other] = int(calls)
                    if self._calls > ended.get(other, self._calls):
                        self._exit(other)

    def _exit(self, other: int) -> None:
        sys.stdout.flush()
        print(
            f"error: worker {self._number} {self._last_call} without worker {other}, whose script has ended: under "
            "MultiWorkerMirroredStrategy all hosts must do so; saving alone may be left to one host",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # the main thread waits inside TensorFlow
