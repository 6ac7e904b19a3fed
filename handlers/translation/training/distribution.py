"""This process among those that train together, as torchrun or Open MPI has started it; alone where neither has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.resources import cores

VARIABLES = {
    "number": ("RANK", "OMPI_COMM_WORLD_RANK"),
    "world": ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"),
    "local": ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "beside": ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
}


@dataclass(frozen=True)
class Rank:
    """Rank `number` of `world`; on its host number `local` of `beside`."""

    number: int = 0
    world: int = 1
    local: int = 0
    beside: int = 1

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Rank:
        """The rank that the launcher's variables tell. Raises JobError where they contradict each other."""
        found = {name: _first(environ, names) for name, names in VARIABLES.items()}
        rank = cls(**{name: value for name, value in found.items() if value is not None})
        if not (0 <= rank.number < rank.world and 0 <= rank.local < rank.beside):
            told = ", ".join(
                f"{name}={environ[name]}" for names in VARIABLES.values() for name in names if name in environ
            )
            raise JobError(f"the launcher's variables contradict each other: {told}")
        return rank

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def words(self, has_gpu: bool, backend: str = "") -> list[str]:
        """What fairseq's command line must say, or it trains nothing: it would start min(GPUs, world) processes.
        `backend` exchanges the gradients, nccl between GPUs and else gloo where it is empty."""
        if self.world == 1:
            return ["--distributed-world-size=1", "--distributed-no-spawn"]
        return [
            f"--distributed-world-size={self.world}",
            f"--distributed-rank={self.number}",
            f"--distributed-backend={backend or ('nccl' if has_gpu else 'gloo')}",
            "--distributed-init-method=env://",
            "--distributed-no-spawn",
            f"--device-id={self.local}",
        ]

    def settle(self, has_gpu: bool, environ: Any = os.environ) -> None:
        """Before the first computation: the variables by which ranks find each other, the GPU, and this process's
        share of the cores, for threads of processes that share them would get in each other's way."""
        import torch

        if self.world > 1:
            environ.setdefault("MASTER_ADDR", "127.0.0.1")
            environ.setdefault("MASTER_PORT", "29500")
            environ |= {"RANK": str(self.number), "WORLD_SIZE": str(self.world)}
        if has_gpu:
            torch.cuda.set_device(self.local)
        else:  # on a CPU, with short sentences, it takes half as long again as the plain way
            torch.backends.cuda.enable_flash_sdp(False)
        if "OMP_NUM_THREADS" not in environ:
            torch.set_num_threads(max(1, cores() // self.beside))

    def gather(self, value: Any) -> list[Any]:
        """What each rank gives, in order; all have to call it."""
        if self.world == 1:
            return [value]
        import torch

        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def check_together(self) -> None:
        """Raises JobError where this rank does not train with the others: it would train a model of its own."""
        import torch

        there = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        if there != self.world:
            raise JobError(f"rank {self.number} trains with {there} ranks, and the launcher has started {self.world}")


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    return next((int(environ[name]) for name in names if environ.get(name)), None)
