"""This process as one rank of several, as torchrun or Open MPI has started it; the only rank without either."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from byo_container.container.failure import JobError
from byo_container.container.resources import cores

VARIABLES = {
    "number": ("RANK", "OMPI_COMM_WORLD_RANK"),
    "world_size": ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"),
    "local_rank": ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "local_world_size": ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
}


@dataclass(frozen=True)
class Rank:
    """Rank `number` of `world_size`; on its host rank `local_rank` of `local_world_size`."""

    number: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The rank from the launcher's variables. Raises JobError where they contradict each other."""
        values = {name: _first(environ, names) for name, names in VARIABLES.items()}
        rank = cls(**{name: value for name, value in values.items() if value is not None})
        if not (0 <= rank.number < rank.world_size and 0 <= rank.local_rank < rank.local_world_size):
            variables = [name for names in VARIABLES.values() for name in names if name in environ]
            listed = ", ".join(f"{name}={environ[name]}" for name in variables)
            raise JobError(f"the launcher's variables contradict each other: {listed}")
        return rank

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def configure_process(self, has_gpu: bool, environ: Any = os.environ) -> None:
        """To be called before the first computation. Sets the variables by which ranks find each other, the GPU, and
        this process's share of the cores, as the threads of processes that share cores slow each other down."""
        import torch

        if self.world_size > 1:
            environ.setdefault("MASTER_ADDR", "127.0.0.1")
            environ.setdefault("MASTER_PORT", "29500")
            environ |= {"RANK": str(self.number), "WORLD_SIZE": str(self.world_size)}
            environ |= {"LOCAL_RANK": str(self.local_rank), "LOCAL_WORLD_SIZE": str(self.local_world_size)}
        if has_gpu:
            torch.cuda.set_device(self.local_rank)
        if "OMP_NUM_THREADS" not in environ:
            torch.set_num_threads(max(1, cores() // self.local_world_size))

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in order. Every rank has to call it."""
        if self.world_size == 1:
            return [value]
        import torch

        values: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def check_world_size(self) -> None:
        """Raises JobError where this rank does not train with the others: it would train a model of its own."""
        import torch

        actual = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        if actual != self.world_size:
            raise JobError(
                f"rank {self.number} trains with {actual} ranks, and the launcher has started {self.world_size}"
            )


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    return next((int(environ[name]) for name in names if environ.get(name)), None)
