"""What fairseq 0.12.2, the last release, needs to run on Python 3.11 and PyTorch 2.13: no fork, no copy.

    from byo_container.handlers.translation import shims
    shims.install()
    import fairseq          # only now; the stock `fairseq-*` scripts die at import

Each function covers one fault of fairseq's, named in its first line. All were found by running it.
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
    """Imports fairseq with all shims in place; the second time it does nothing. Raises JobError where the extra
    `translation` is not installed."""
    if _state["installed"]:
        return
    for name in ("fairseq", "fairseq_cli"):
        logging.getLogger(name).setLevel(logging.WARNING)  # its lines for every step and file; ours say as much
    _give_dataclasses_a_hash()
    _keep_tensorflow_out()
    try:
        for name in ("sacrebleu", "sacremoses", "subword_nmt"):  # which come with it and are imported later
            if not importlib.util.find_spec(name):
                raise ModuleNotFoundError(name=name)
        import fairseq  # noqa: F401
    except ModuleNotFoundError as error:
        raise JobError(
            f"the handler `translation` needs the package {error.name}, which is not installed; install its extra: "
            "`pip install 'byo-container[translation]'` and then `pip install --no-deps fairseq==0.12.2` "
            "(in a checkout: EXTRAS=news,dev,translation make setup)"
        ) from error
    _let_checkpoints_load()
    _keep_encoders_off_the_fast_path()
    _broadcast_objects()
    _let_rank_0_find_checkpoints()
    _put_ddp_on_cpus()
    _copy_whole_files()
    _state["installed"] = True


def _give_dataclasses_a_hash() -> None:
    """fairseq's configurations are defaults of others, and Python 3.11 refuses defaults that cannot be hashed."""
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


def _let_checkpoints_load() -> None:
    """Older checkpoints hold an argparse.Namespace, which torch.load, now safe by default, refuses."""
    import torch

    torch.serialization.add_safe_globals([argparse.Namespace])


def _keep_encoders_off_the_fast_path() -> None:
    """fairseq calls PyTorch's fused encoder layer without its new argument: "Mask Type should be defined"."""
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
"""A second set of an encoder layer's weights, for the fused layer alone. Training leaves it as it is and loading a
checkpoint does not, so that a job which was resumed would end with other parameters than one which was not."""


def _load_without_fused(layer: Any) -> Callable[..., None]:
    """Loads an encoder layer, from a checkpoint that has the second set or from one that does not."""

    def load(self: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in FUSED:
            state.pop(prefix + name, None)
        super(layer, self)._load_from_state_dict(state, prefix, *rest)

    return load


def _broadcast_objects() -> None:
    """A resume sends the checkpoint to the other ranks as a pickle of a class that torch.load now refuses."""
    import torch
    from fairseq.distributed import utils

    def broadcast(value: Any, src_rank: int, group: Any, dist_device: Any) -> Any:
        values = [value]
        torch.distributed.broadcast_object_list(values, src=src_rank, group=group, device=dist_device)
        return values[0]

    utils._broadcast_object_slow = broadcast


def _let_rank_0_find_checkpoints() -> None:
    """Every rank looks for the checkpoint on its own disk, and where only the first host has one the ranks wait for
    each other for ever."""
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    plain = checkpoint_utils.load_checkpoint

    @functools.wraps(plain)
    def load_checkpoint(*arguments: Any, **named: Any) -> Any:
        with _asking_rank_0(PathManager, "exists"), _asking_rank_0(PathManager, "isfile"):
            return plain(*arguments, **named)

    checkpoint_utils.load_checkpoint = load_checkpoint


@contextlib.contextmanager
def _asking_rank_0(manager: Any, name: str) -> Iterator[None]:
    """Has `manager.name(path)` answered by rank 0 for checkpoints; each host has its own data set."""
    import torch

    plain = getattr(manager, name)

    def ask(path: str) -> bool:
        if not path.endswith(".pt") or not torch.distributed.is_initialized():
            return bool(plain(path))
        is_nccl = torch.distributed.get_backend() == "nccl"
        answer = torch.tensor([int(plain(path))], device="cuda" if is_nccl else "cpu")
        torch.distributed.broadcast(answer, src=0)
        return bool(answer.item())

    setattr(manager, name, staticmethod(ask))
    try:
        yield
    finally:
        setattr(manager, name, staticmethod(plain))


def _put_ddp_on_cpus() -> None:
    """`--ddp-backend pytorch_ddp` names a device though the model is on the CPU, which PyTorch refuses."""
    from fairseq.models import distributed_fairseq_model as wrapper

    plain = wrapper.DistributedDataParallel

    def on_its_device(module: Any, **options: Any) -> Any:
        if next(module.parameters()).device.type == "cpu":
            options |= {"device_ids": None, "output_device": None}
        return plain(module, **options)

    wrapper.DistributedDataParallel = on_its_device


def _copy_whole_files() -> None:
    """checkpoint_last.pt is copied in place, and a kill meanwhile leaves half of it to resume from."""
    from fairseq.file_io import PathManager

    def copy(source: str, target: str, overwrite: bool = False) -> str:
        if not overwrite and os.path.exists(target):
            raise FileExistsError(target)
        building = f"{target}.tmp"
        shutil.copyfile(source, building)
        os.replace(building, target)
        return target

    PathManager.copy = staticmethod(copy)
