"""The private and undocumented names of fairseq, argparse and subword-nmt that the handler relies on. A test that fails
here names what another release has changed."""

from __future__ import annotations

import argparse
import importlib
import inspect
from typing import Any

import pytest

from byo_container.handlers.translation import compat

compat.install()

OVERRIDDEN = {
    "_aggregate_logging_outputs": ("logging_outputs", "extra_stats_to_sum", "ignore"),
    "_build_optimizer": (),
    "_reduce_and_log_stats": ("logging_outputs", "sample_size", "grad_norm"),
    "get_train_iterator": ("epoch",),
    "load_checkpoint": ("filename",),
    "save_checkpoint": ("filename", "extra_state"),
    "train_step": ("samples", "raise_oom"),
}
"""Methods of fairseq's Trainer, and their first parameters."""


def attribute(path: str) -> Any:
    module, _, names = path.partition(":")
    value: Any = importlib.import_module(module)
    for name in names.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize(("name", "parameters"), OVERRIDDEN.items())
def test_trainer_has_the_methods_that_are_overridden(name: str, parameters: tuple[str, ...]) -> None:
    signature = inspect.signature(attribute(f"fairseq.trainer:Trainer.{name}"))
    assert tuple(signature.parameters)[1 : 1 + len(parameters)] == parameters


@pytest.mark.parametrize(
    "path",
    [
        # replaced while training runs
        "fairseq_cli.train:Trainer",
        "fairseq_cli.train:get_valid_stats",
        "fairseq_cli.train:validate_and_save",
        "fairseq_cli.train:progress_bar.progress_bar",
        "fairseq_cli.train:should_stop_early",
        "fairseq_cli.train:checkpoint_utils.save_checkpoint",
        # replaced by compat.py
        "fairseq.distributed.utils:_broadcast_object_slow",
        "fairseq.checkpoint_utils:load_checkpoint",
        "fairseq.models.distributed_fairseq_model:DistributedDataParallel",
        "fairseq.file_io:PathManager.copy",
        "fairseq.file_io:PathManager.exists",
        "fairseq.file_io:PathManager.isfile",
        # used by batches, the search and the parser
        "fairseq.data.iterators:EpochBatchIterator.ordered_batches",
        "fairseq.sequence_generator:EnsembleModel.reorder_incremental_state",
        "fairseq.models.fconv:LinearizedConvolution._get_linearized_weight",
        "fairseq.dataclass.utils:gen_parser_from_dataclass",
        "subword_nmt.learn_bpe:tqdm",
    ],
)
def test_name_exists(path: str) -> None:
    assert attribute(path) is not None


def test_argparse_lists_its_actions() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    assert parser._actions[-1].dest == "name"
