"""This process as one rank of fairseq's."""

from __future__ import annotations

import os
from typing import Any

from byo_container.container import rank


class Rank(rank.Rank):
    """A rank that fairseq trains on."""

    def fairseq_arguments(self, has_gpu: bool, backend: str = "") -> list[str]:
        """The arguments by which fairseq joins the ranks; without them it would start min(GPUs, world size) processes.
        `backend` exchanges the gradients: nccl with GPUs and gloo without, where it is empty."""
        if self.world_size == 1:
            return ["--distributed-world-size=1", "--distributed-no-spawn"]
        return [
            f"--distributed-world-size={self.world_size}",
            f"--distributed-rank={self.number}",
            f"--distributed-backend={backend or ('nccl' if has_gpu else 'gloo')}",
            "--distributed-init-method=env://",
            "--distributed-no-spawn",
            f"--device-id={self.local_rank}",
        ]

    def configure_process(self, has_gpu: bool, environ: Any = os.environ) -> None:
        """As every rank; and attention on a CPU is the plain one."""
        import torch

        super().configure_process(has_gpu, environ)
        if not has_gpu:  # with short sentences the other takes 1.5 times as long
            torch.backends.cuda.enable_flash_sdp(False)
