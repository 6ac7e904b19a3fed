"""One rank among others."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.handlers.translation import sample
from byo_container.handlers.translation.training.distribution import Rank
from tests.handlers.translation.support import SMALL, make_tree_below


def test_fairseq_never_spawns_ranks() -> None:
    assert "--distributed-no-spawn" in Rank().fairseq_arguments(has_gpu=False)
    words = Rank(1, 2, 0, 1).fairseq_arguments(has_gpu=False)
    assert {"--distributed-no-spawn", "--distributed-backend=gloo", "--distributed-world-size=2"} <= set(words)
    assert "--distributed-backend=nccl" in Rank(1, 2, 1, 2).fairseq_arguments(has_gpu=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_rank_without_batches_fails_the_job(tmp_path: Path) -> None:
    sample.write(tmp_path / "plain", 40, 10)
    two = {"launcher": "torchrun", "processes_per_host": 2, "max_tokens": 100_000, "eval_bleu": "false"}
    tree = make_tree_below(tmp_path / "ml", sorted((tmp_path / "plain").iterdir()), **{**SMALL, **two})
    finished = tree.finish(tree.start(), 300)
    assert finished.status == 1
    assert (
        "rank 1 got nothing to train on: the training text makes fewer batches than there are ranks" in finished.reason
    )
