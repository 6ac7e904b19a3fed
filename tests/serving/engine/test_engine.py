"""Requests that wait together run together, and each hears of its own fate alone."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from byo_container.container.discovery import HandlerReference
from byo_container.container.handler import InputError
from byo_container.serving.engine import threads as compute_threads
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.work import Work
from byo_container.serving.errors import RequestError
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.handler.predict import Predictor
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.settings import Settings
from tests.serving.support.engine import engine_of


def together(engine: Engine, items: list[Any]) -> list[Any]:
    """The outcome of each item, submitted at once; an exception where it raised."""

    def submit(item: Any) -> Any:
        try:
            return engine.submit(Work(item))
        except Exception as error:
            return error

    greenlets = [gevent.spawn(submit, item) for item in items]
    gevent.joinall(greenlets, timeout=30)
    assert all(greenlet.ready() for greenlet in greenlets)
    return [greenlet.value for greenlet in greenlets]


class Recorder:
    """Doubles its items; remembers each call. The first call takes long enough for others to queue up."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def __call__(self, items: list[Any]) -> list[Any]:
        self.calls.append(items)
        time.sleep(0.1 if len(self.calls) == 1 else 0)
        return [item * 2 for item in items]


def test_queued_requests_are_batched_in_order() -> None:
    recorder = Recorder()
    engine = engine_of(recorder)
    first = gevent.spawn(engine.submit, Work(100))
    gevent.sleep(0.03)
    assert together(engine, list(range(10))) == [2 * n for n in range(10)]
    assert first.get() == 200
    assert recorder.calls == [[100], list(range(10))]


def test_max_size_limits_each_batch() -> None:
    recorder = Recorder()
    assert together(engine_of(recorder, policy=BatchPolicy(max_size=4)), list(range(11))) == [2 * n for n in range(11)]
    assert max(map(len, recorder.calls)) <= 4
    assert [item for call in recorder.calls for item in call] == list(range(11))


def test_idle_engine_adds_no_delay() -> None:
    engine = engine_of(lambda items: items)
    engine.submit(Work(0))
    began = time.monotonic()
    for n in range(100):
        engine.submit(Work(n))
    assert time.monotonic() - began < 5


def slowly(calls: list[list[Any]]) -> Callable[[list[Any]], list[Any]]:
    """Takes 0.2 s for any number of items, and notes them in `calls`."""

    def compute(items: list[Any]) -> list[Any]:
        calls.append(items)
        time.sleep(0.2)
        return items

    return compute


def test_thread_gathers_as_many_requests_as_its_last_batch_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_threads, "GATHER_PART", 20.0)  # more patience, for the test's machine may be busy
    monkeypatch.setattr(compute_threads, "GATHER_S", 4.0)
    calls: list[list[Any]] = []
    engine = engine_of(slowly(calls))
    together(engine, [1, 2, 3])
    later = []
    for n in range(3):  # one by one, as from a network
        later.append(gevent.spawn(engine.submit, Work(n)))
        gevent.sleep(0.003)
    gevent.joinall(later, timeout=10)
    assert calls == [[1, 2, 3], [0, 1, 2]]


def test_gathering_ends_after_its_timeout() -> None:
    calls: list[list[Any]] = []
    engine = engine_of(slowly(calls))
    together(engine, [1, 2, 3])
    began = time.monotonic()
    assert together(engine, [4]) == [4]
    assert time.monotonic() - began < 2
    assert calls == [[1, 2, 3], [4]]


def test_event_loop_runs_while_the_model_computes() -> None:
    def compute(items: list[Any]) -> list[Any]:
        time.sleep(0.3)
        return items

    engine = engine_of(compute)
    waiting = gevent.spawn(engine.submit, Work(1))
    ticks = 0
    while not waiting.ready():
        gevent.sleep(0.01)
        ticks += 1
    assert ticks > 5


def test_threads_compute_in_parallel() -> None:
    barrier = threading.Barrier(2, timeout=10)
    assert sorted(
        together(engine_of(lambda items: [barrier.wait()], policy=BatchPolicy(max_size=1), threads=2), [1, 2])
    ) == [0, 1]


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError("full"), SystemExit(3), KeyboardInterrupt()])
def test_exceptions_of_the_model_are_raised_by_submit(error: BaseException) -> None:
    def compute(items: list[Any]) -> list[Any]:
        raise error

    (outcome,) = together(engine_of(compute), [1])
    assert isinstance(outcome, Exception)  # never a SystemExit, which would end the greenlet without an answer
    assert error in (outcome, outcome.__cause__)


def test_requests_of_a_failed_batch_get_separate_exceptions() -> None:
    error = ValueError("bad")

    def compute(items: list[Any]) -> list[Any]:
        time.sleep(0.05)
        raise error

    outcomes = together(engine_of(compute), list(range(8)))
    assert len({id(outcome) for outcome in outcomes}) == 8
    assert all(error in (outcome, outcome.__cause__) for outcome in outcomes)
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames.count("submit") <= 1


def test_close_delivers_finished_requests_and_refuses_waiting_ones() -> None:
    computing, release = threading.Event(), threading.Event()

    def compute(items: list[Any]) -> list[Any]:
        computing.set()
        release.wait(20)
        return items

    engine = engine_of(compute, policy=BatchPolicy(max_size=1))
    engine._wake.stop()  # as if the answer came in the instant in which the thread ends
    first = gevent.spawn(engine.submit, Work("first"))
    assert gevent.get_hub().threadpool.apply(computing.wait, (20,))
    second = gevent.spawn(engine.submit, Work("second"))
    gevent.sleep(0.01)
    closing = gevent.spawn(engine.close, 20)
    gevent.sleep(0.01)
    release.set()
    assert closing.get(timeout=20)
    assert first.get(timeout=5) == "first"
    with pytest.raises(RequestError, match="removed meanwhile"):
        second.get(timeout=5)


def test_exception_as_an_outcome_fails_its_own_request() -> None:
    outcomes = together(engine_of(lambda items: [ValueError("odd") if n % 2 else n for n in items]), [0, 1, 2, 3])
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int, ValueError]


def test_stuck_computation_times_out_and_its_thread_is_replaced() -> None:
    released, stuck = threading.Event(), []

    def compute(items: list[Any]) -> list[Any]:
        if items == ["hang"]:
            released.wait(30)
        return items

    engine = engine_of(compute, timeout_s=0.3, on_stuck=lambda: stuck.append(1))
    (late,) = together(engine, ["hang"])
    assert isinstance(late, RequestError)
    assert late.status == 504
    assert together(engine, [1, 2]) == [1, 2]
    released.set()
    time.sleep(0.1)  # the late answer comes now, and must go nowhere
    assert together(engine, [3]) == [3]
    assert len(stuck) == 1


def test_timeout_in_the_queue_does_not_replace_a_thread() -> None:
    """More load than one can carry: some get 504, but nothing hangs and no worker need go."""
    stuck: list[int] = []
    computed: list[Any] = []

    def compute(items: list[Any]) -> list[Any]:
        computed.extend(items)
        time.sleep(0.2)
        return items

    engine = engine_of(compute, policy=BatchPolicy(max_size=1), timeout_s=0.5, on_stuck=lambda: stuck.append(1))
    outcomes = together(engine, list(range(8)))
    assert outcomes[0] == 0
    assert isinstance(outcomes[-1], RequestError)
    gevent.sleep(0.3)
    assert not stuck
    assert len(computed) < 8  # a request that got 504 is not computed any more


def test_model_is_loaded_in_the_thread_that_computes() -> None:
    threads: list[int] = []

    def compute(items: list[Any]) -> list[Any]:
        threads.append(threading.get_ident())
        return items

    engine = engine_of(compute, load=lambda: threads.append(threading.get_ident()))
    together(engine, [1])
    assert threads[0] == threads[1] != threading.get_ident()


class Panic(BaseException):
    """As pyo3's PanicException, by which libraries in Rust fail on an input that they did not expect."""


class Picky:
    def predict(self, model: None, inputs: list[Any]) -> Any:
        for value in inputs:
            match value:
                case "poison":
                    raise ValueError("poisoned")
                case "exit":
                    raise SystemExit(1)
                case "panic":
                    raise Panic("index out of bounds")
                case "refuse":
                    raise InputError("send something else")
                case "short":
                    return inputs[1:]
                case "none":
                    return None
        return inputs


@pytest.fixture
def model() -> HandlerModel:
    model = HandlerModel(HandlerReference("picky:Picky", "a test"), Path(), Settings())
    model._predictor = Predictor(HandlerTraits.of(Picky(), "picky:Picky"), None, Settings())
    return model


def test_outputs_are_returned_to_their_requests(model: HandlerModel) -> None:
    assert model.compute([[1, 2], [3], [4, 5, 6]]) == [[1, 2], [3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ("poison", ValueError),
        ("exit", SystemExit),
        ("panic", Panic),
        ("refuse", InputError),
        ("short", TypeError),
        ("none", TypeError),
    ],
)
def test_failing_request_is_isolated_by_bisection(model: HandlerModel, bad: str, kind: type) -> None:
    before, failed, after = model.compute([["a", "b"], ["c", bad], ["d"]])
    assert (before, after) == (["a", "b"], ["d"])
    assert isinstance(failed, kind)


def test_wrong_number_of_outputs_names_the_handler(model: HandlerModel) -> None:
    (error,) = model.compute([["short", 1]])
    assert "predict of picky:Picky returned 1 outputs for 2 inputs" in str(error)
