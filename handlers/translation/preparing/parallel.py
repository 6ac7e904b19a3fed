"""Lines through a function on all cores, in order: what comes out does not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence

from container.progress import Progress

CHUNK = 500  # lines; a chunk takes a tenth of a second or so
Transform = Callable[[str], str]


def transform(what: str, lines: Sequence[str], make: Callable[[], Transform], workers: int) -> list[str]:
    """What the function that `make` makes, once in each worker, does to every line. `what` is shown to people."""
    done: list[str] = []
    chunks = [lines[first : first + CHUNK] for first in range(0, len(lines), CHUNK)]
    with Progress(what, len(lines), "lines") as progress:
        for chunk in _through(chunks, make, min(workers, len(chunks))):
            done += chunk
            progress.advance(len(chunk))
    return done


def _through(chunks: list[Sequence[str]], make: Callable[[], Transform], workers: int) -> Iterator[list[str]]:
    if workers <= 1:
        function = make()
        yield from ([function(line) for line in chunk] for chunk in chunks)
        return
    with multiprocessing.get_context("fork").Pool(workers, _begin, (make,)) as pool:
        yield from pool.imap(_work, chunks)


_function: Transform


def _begin(make: Callable[[], Transform]) -> None:
    global _function
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the job's own way of stopping is not for us
    _function = make()


def _work(lines: Sequence[str]) -> list[str]:
    return [_function(line) for line in lines]
