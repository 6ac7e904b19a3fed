"""One worker per GPU, by the index of the GPU; needs none."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byo_container.container.accelerators import count_gpus
from byo_container.container.failure import JobError
from byo_container.serving import devices
from byo_container.serving.devices import least_used
from byo_container.serving.settings import Settings

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start


@pytest.mark.parametrize(("variable", "expected"), [("0,1", ["0", "1"]), (" 2 , 5", ["2", "5"]), ("", []), ("-1", [])])
def test_visible_devices_follow_cuda_visible_devices(variable: str, expected: list[str]) -> None:
    assert devices.visible({"CUDA_VISIBLE_DEVICES": variable}) == expected


def test_no_devices_without_a_driver() -> None:
    assert devices.visible({}) == [str(number) for number in range(count_gpus())]


def test_one_worker_per_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(devices, "memory_bytes", lambda: 64 << 30)
    assert devices.default_workers(0) == 3
    assert devices.default_workers(40 << 30) == 1


def seen(server: Server) -> list[str]:
    """The device of every worker."""
    expected: dict[int, str] = {}

    def all_have_answered() -> bool:
        with ThreadPoolExecutor(4) as pool:
            body = '{"ask": "pid"}\n{"ask": "device"}\n'
            headers = {"Content-Type": "application/jsonlines"}
            answers = pool.map(lambda _: server.post(data=body, headers=headers), range(8))
            expected.update({answer.json()[0]: answer.json()[1] for answer in answers if answer.status_code == 200})
        return expected.keys() >= set(server.workers())

    server.until(all_have_answered, "every worker has answered")
    return sorted(device for pid, device in expected.items() if pid in server.workers())


def test_every_worker_has_a_device_after_replacement_and_rolling_restart(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="2", CUDA_VISIBLE_DEVICES="3,7").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both are ready")
    assert seen(server) == ["3", "7"]
    os.kill(server.workers()[0], signal.SIGKILL)
    server.until(lambda: server.log().count("the model is loaded") == 3, "it is replaced")
    assert seen(server) == ["3", "7"]
    os.kill(server.process.pid, signal.SIGHUP)
    server.until(lambda: "all workers are replaced" in server.log(), "the roll is over")
    assert seen(server) == ["3", "7"]


@pytest.mark.parametrize(
    ("used", "devices", "chosen"),
    [([], 2, 0), ([0], 2, 1), ([1], 2, 0), ([0, 1], 2, 0), ([0, 0, 1], 2, 1), ([1, 2], 3, 0), ([], 0, None)],
)
def test_a_new_worker_gets_the_device_with_the_fewest_workers(
    used: list[int | None], devices: int, chosen: int | None
) -> None:
    assert least_used(used, devices) == chosen


def test_replacement_of_a_hanging_worker_gets_its_device(start: Start) -> None:
    """Also where the one that hangs is not the oldest."""
    server = start(MODEL_SERVER_WORKERS="2", CUDA_VISIBLE_DEVICES="0,1", MODEL_SERVER_TIMEOUT="1").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both are ready")
    hanging = server.workers()[1]  # in the order in which they were forked

    def ask(_: int) -> int:
        return server.post(json={"hang in": hanging}).status_code

    with ThreadPoolExecutor(8) as clients:  # one after the other may all be taken by the other worker
        server.until(lambda: 504 in list(clients.map(ask, range(8))), "it hangs")
    server.until(lambda: "all workers are replaced" in server.log(), "it is replaced")
    assert seen(server) == ["0", "1"]


def test_autocast_without_pytorch_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert isinstance(devices.inference_mode("bfloat16"), nullcontext)


def test_pytorch_predicts_without_gradients_and_with_autocast() -> None:
    torch = pytest.importorskip("torch")
    a = torch.ones(2, 2, requires_grad=True)
    with devices.inference_mode():
        assert not (a @ a).requires_grad
        assert (a @ a).dtype is torch.float32
    with devices.inference_mode("bfloat16"):
        assert (a @ a).dtype is torch.bfloat16
    assert (a @ a).requires_grad


TORCH = """
import torch
class Model:
    def load(self, model_dir):
        return torch.nn.Linear(2, 1)
    def predict(self, model, inputs):
        out = model(torch.tensor(inputs))
        return [[str(out.dtype), out.requires_grad]] * len(inputs)
"""


@pytest.mark.parametrize(("autocast", "dtype"), [("off", "torch.float32"), ("bfloat16", "torch.bfloat16")])
def test_a_handler_of_pytorch_is_served_so(start: Start, root: Path, autocast: str, dtype: str) -> None:
    pytest.importorskip("torch")
    (root / "code/model.py").write_text(TORCH)
    server = start(root, MODEL_HANDLER="model:Model", MODEL_SERVER_AUTOCAST=autocast).ready()
    assert server.ask([1.0, 2.0]) == [dtype, False]


def test_unknown_autocast_is_an_error() -> None:
    with pytest.raises(JobError, match="bfloat16"):
        Settings.from_environment({"MODEL_SERVER_AUTOCAST": "int4"})
