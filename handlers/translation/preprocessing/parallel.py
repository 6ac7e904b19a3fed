"""Applies a function to lines on all cores. The result does not depend on the number of workers."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from byo_container.container.failure import JobError
from byo_container.container.progress import Progress

CHUNK = 500  # lines; a chunk takes a tenth of a second or so
Transform = Callable[[str], str]


def transform(what: str, lines: Sequence[str], make: Callable[[], Transform], workers: int) -> list[str]:
    """The results for all lines in order. Each worker calls `make` once for the function. `what` is shown with the
    progress."""
    done: list[str] = []
    chunks = [lines[first : first + CHUNK] for first in range(0, len(lines), CHUNK)]
    with Progress(what, len(lines), "lines") as progress:
        for chunk in _apply(chunks, make, min(workers, len(chunks))):
            done += chunk
            progress.advance(len(chunk))
    return done


def _apply(chunks: list[Sequence[str]], make: Callable[[], Transform], workers: int) -> Iterator[list[str]]:
    if workers <= 1:
        function = make()
        yield from ([function(line) for line in chunk] for chunk in chunks)
        return
    # The workers of an executor exit by themselves, and it notices when one is killed. A multiprocessing.Pool ends its
    # workers by SIGTERM, and waits for ever for one that was killed.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start_worker, (make,))
    try:
        # A worker has the job's signal handlers until `_start_worker` replaces them: a signal before that stays
        # blocked. The threads that the executor starts here inherit the mask too.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            results = pool.map(_work, chunks)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield from results
    except BrokenProcessPool:
        raise JobError(
            "a process that prepared the text was killed (often: out of memory); take an instance with more memory, "
            "or prepare the text elsewhere (python -m byo_container.handlers.translation.prepare)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_function: Transform


def _start_worker(make: Callable[[], Transform]) -> None:
    global _function
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the job's handler
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _function = make()


def _work(lines: Sequence[str]) -> list[str]:
    return [_function(line) for line in lines]
