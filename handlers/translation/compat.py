"""Patches by which fairseq 0.12.2, its last release, runs on Python 3.11 and PyTorch 2.13, without a fork or a copy.

    from byo_container.handlers.translation import compat
    compat.install()
    import fairseq          # only now; the stock `fairseq-*` scripts fail at import

Each function patches one fault of fairseq, which its docstring names. All were found by running it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import importlib.util
import logging
import os
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from byo_container.container.failure import JobError

_state = {"installed": False}


def install() -> None:
    """Imports fairseq and applies all patches; does nothing the second time. Raises JobError where the extra
    `translation` is not installed."""
    if _state["installed"]:
        return
    for name in ("fairseq", "fairseq_cli"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it logs every step and file; our lines replace that
    _make_dataclasses_hashable()
    _keep_tensorflow_out()
    try:
        for name in ("sacrebleu", "sacremoses", "subword_nmt"):  # part of the extra, imported later
            if not importlib.util.find_spec(name):
                raise ModuleNotFoundError(name=name)
        import fairseq  # noqa: F401
    except ModuleNotFoundError as error:
        raise JobError(
            f"the handler `translation` needs the package {error.name}, which is not installed; install its extra: "
            "`pip install 'byo-container[translation]'` and then `pip install --no-deps fairseq==0.12.2` "
            "(in a checkout: EXTRAS=news,dev,translation make setup)"
        ) from error
    _allow_namespaces_in_checkpoints()
    _disable_encoder_fast_path()
    _broadcast_objects()
    _use_rank_0_to_look_for_checkpoints()
    _allow_ddp_on_cpus()
    _copy_files_atomically()
    _state["installed"] = True


def _make_dataclasses_hashable() -> None:
    """fairseq uses instances of dataclasses as defaults, and Python 3.11 refuses unhashable defaults."""
    plain: Callable[..., Any] = dataclasses.dataclass

    @functools.wraps(plain)
    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return functools.partial(dataclass, **options)
        if cls.__module__.partition(".")[0] in ("fairseq", "fairseq_cli"):
            options.setdefault("unsafe_hash", True)
        return plain(cls, **options)

    dataclasses.dataclass = dataclass


def _keep_tensorflow_out() -> None:
    """fairseq imports TensorBoard's writer, which imports all of TensorFlow where that is installed: four seconds for
    nothing. A module of this name is TensorBoard's own switch for its stub."""
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


def _allow_namespaces_in_checkpoints() -> None:
    """Older checkpoints hold an argparse.Namespace, which torch.load refuses since it is safe by default."""
    import torch

    torch.serialization.add_safe_globals([argparse.Namespace])


def _disable_encoder_fast_path() -> None:
    """fairseq calls PyTorch's fused encoder layer without an argument that is new: "Mask Type should be defined"."""
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

    plain = Layer.__init__

    @functools.wraps(plain)
    def init(self: Any, *arguments: Any, **named: Any) -> None:
        plain(self, *arguments, **named)
        self.can_use_fastpath = False
        for name in FUSED:
            delattr(self, name)

    Layer.__init__ = init
    Layer._load_from_state_dict = _load_without_fused(Layer)


FUSED = [f"{part}_{kind}" for part in ("in_proj", "out_proj", "fc1", "fc2") for kind in ("weight", "bias")]
"""A second set of an encoder layer's weights, for the fused layer only. Training does not update it and loading a
checkpoint does, so that a resumed job would end with other parameters than an uninterrupted one."""


def _load_without_fused(layer: Any) -> Callable[..., None]:
    """Loads an encoder layer from a checkpoint with or without the second set."""

    def load(self: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in FUSED:
            state.pop(prefix + name, None)
        super(layer, self)._load_from_state_dict(state, prefix, *rest)

    return load


def _broadcast_objects() -> None:
    """On resume, fairseq broadcasts the checkpoint as a pickle of a class that torch.load refuses now."""
    import torch
    from fairseq.distributed import utils

    def broadcast(value: Any, src_rank: int, group: Any, dist_device: Any) -> Any:
        values = [value]
        torch.distributed.broadcast_object_list(values, src=src_rank, group=group, device=dist_device)
        return values[0]

    utils._broadcast_object_slow = broadcast


def _use_rank_0_to_look_for_checkpoints() -> None:
    """Every rank looks for the checkpoint on its own disk. Where only the first host has one, ranks would wait for each
    other for ever."""
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    original = checkpoint_utils.load_checkpoint

    @functools.wraps(original)
    def load_checkpoint(*arguments: Any, **named: Any) -> Any:
        with _answered_by_rank_0(PathManager, "exists"), _answered_by_rank_0(PathManager, "isfile"):
            return original(*arguments, **named)

    checkpoint_utils.load_checkpoint = load_checkpoint


@contextlib.contextmanager
def _answered_by_rank_0(manager: Any, name: str) -> Iterator[None]:
    """Makes rank 0 answer `manager.name(path)` for checkpoints; each host has its own data set."""
    import torch

    plain = getattr(manager, name)

    def answer(path: str) -> bool:
        if not path.endswith(".pt") or not torch.distributed.is_initialized():
            return bool(plain(path))
        is_nccl = torch.distributed.get_backend() == "nccl"
        result = torch.tensor([int(plain(path))], device="cuda" if is_nccl else "cpu")
        torch.distributed.broadcast(result, src=0)
        return bool(result.item())

    setattr(manager, name, staticmethod(answer))
    try:
        yield
    finally:
        setattr(manager, name, staticmethod(plain))


def _allow_ddp_on_cpus() -> None:
    """`--ddp-backend pytorch_ddp` names a device even for a model on the CPU, which PyTorch refuses."""
    from fairseq.models import distributed_fairseq_model as wrapper

    plain = wrapper.DistributedDataParallel

    def wrap(module: Any, **options: Any) -> Any:
        if next(module.parameters()).device.type == "cpu":
            options |= {"device_ids": None, "output_device": None}
        return plain(module, **options)

    wrapper.DistributedDataParallel = wrap


def _copy_files_atomically() -> None:
    """fairseq copies checkpoint_last.pt in place; a kill meanwhile would leave a truncated file to resume from."""
    from fairseq.file_io import PathManager

    def copy(source: str, target: str, overwrite: bool = False) -> str:
        if not overwrite and os.path.exists(target):
            raise FileExistsError(target)
        building = f"{target}.tmp"
        shutil.copyfile(source, building)
        os.replace(building, target)
        return target

    PathManager.copy = staticmethod(copy)
