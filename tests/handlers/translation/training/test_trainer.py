"""How batches are dealt out to ranks."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.handlers.translation import compat


@pytest.fixture(scope="module", autouse=True)
def fairseq() -> None:
    compat.install()


def dealt(rank: int, epoch: int, lengths: list[int], ranks: int = 3) -> list[Any]:
    import torch
    from fairseq.data.iterators import EpochBatchIterator

    from byo_container.handlers.translation.training.trainer import balance_batches

    batches = [[number] * length for number, length in enumerate(lengths)]
    iterator = EpochBatchIterator(
        torch.utils.data.TensorDataset(torch.arange(sum(lengths))),
        lambda items: [int(item) for (item,) in items],
        batches,
        seed=5,
        num_shards=ranks,
        shard_id=rank,
        epoch=epoch,
    )
    balance_batches(iterator)
    return [list(batch) for batch in iterator.next_epoch_itr(shuffle=True)]


@pytest.mark.parametrize("count", [0, 2, 3, 30, 31, 32])
def test_batches_of_an_update_have_similar_sizes_on_all_ranks(count: int) -> None:
    lengths = [1 + number // 2 for number in range(count)]  # sorted, as fairseq makes them
    by_rank = [dealt(rank, 1, lengths) for rank in range(3)]
    assert len({len(batches) for batches in by_rank}) == 1
    numbers = [batch[0] for batches in by_rank for batch in batches if batch]
    assert sorted(numbers) == list(range(count))
    for update in zip(*by_rank, strict=True):
        own = [batch[0] for batch in update if batch]
        assert max(own) - min(own) <= 2


def test_batch_order_depends_on_the_epoch() -> None:
    lengths = [1] * 30
    assert dealt(0, 1, lengths) == dealt(0, 1, lengths)
    assert dealt(0, 1, lengths) != dealt(0, 2, lengths)


@pytest.mark.parametrize(
    ("updates", "place", "said"),
    [
        (168, {"epoch": 7, "iterations_in_epoch": 0}, "going on after update 168 (epoch 6), from checkpoint_last.pt"),
        (10, {"epoch": 2, "iterations_in_epoch": 3}, "going on after update 10 (epoch 2), from checkpoint_last.pt"),
        (0, {}, "beginning with the weights in checkpoint_last.pt"),
    ],
)
def test_resume_message(updates: int, place: dict[str, int], said: str) -> None:
    from byo_container.handlers.translation.training.trainer import resume_message

    assert resume_message(updates, place, "checkpoint_last.pt") == said
