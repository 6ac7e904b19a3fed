"""What fairseq needs to run here, each fault tried."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byo_container.handlers.translation import compat
from byo_container.handlers.translation.compat import FUSED


@pytest.fixture(scope="module", autouse=True)
def fairseq() -> None:
    compat.install()


@pytest.fixture(scope="module")
def layer() -> Any:
    from fairseq.models.transformer import TransformerConfig
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

    config = TransformerConfig()
    config.encoder.embed_dim, config.encoder.ffn_embed_dim, config.encoder.attention_heads = 8, 16, 2
    return TransformerEncoderLayerBase(config)


def test_fairseq_fails_to_import_without_the_patches() -> None:
    tried = subprocess.run([sys.executable, "-c", "import fairseq"], capture_output=True, text=True)
    assert "mutable default" in tried.stderr, "then the first shim is no longer needed"


def test_tensorflow_is_not_imported() -> None:
    pytest.importorskip("tensorboard")
    if not importlib.util.find_spec("tensorflow"):
        pytest.skip("TensorFlow is not installed")
    code = "import sys; from byo_container.handlers.translation import compat; compat.install(); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch.utils.tensorboard" in modules
    assert "tensorflow" not in modules


def test_only_fairseqs_dataclasses_get_a_hash() -> None:
    @dataclasses.dataclass
    class Ours:
        value: int = 0

    from fairseq.dataclass.configs import CommonConfig

    assert Ours.__hash__ is None
    hash(CommonConfig())


def test_install_is_idempotent() -> None:
    before = dataclasses.dataclass
    compat.install()
    assert dataclasses.dataclass is before


def test_encoder_layer_does_not_use_the_fast_path(layer: Any) -> None:
    trained = layer.state_dict()
    layer.load_state_dict(trained)  # after which fairseq would take the fast path
    import torch

    x = torch.randn(3, 2, 8)
    assert layer.eval()(x, torch.tensor([[False, False, False], [False, False, True]])).shape == x.shape


def test_encoder_layer_loads_state_with_and_without_fused_weights(layer: Any) -> None:
    import torch

    own = layer.state_dict()
    assert not set(FUSED) & set(own)
    twice = {**own, **{name: torch.zeros(1) for name in FUSED}}
    layer.load_state_dict(twice, strict=True)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        layer.load_state_dict({**own, "other": torch.zeros(1)}, strict=True)


def test_settings_in_a_namespace_load_safely_and_other_objects_do_not(tmp_path: Path) -> None:
    import torch

    torch.save({"args": argparse.Namespace(arch="fconv")}, tmp_path / "old.pt")
    assert torch.load(tmp_path / "old.pt", weights_only=True)["args"].arch == "fconv"
    torch.save({"args": subprocess.Popen}, tmp_path / "bad.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(tmp_path / "bad.pt")


def test_files_are_copied_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairseq.file_io import PathManager

    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(FileExistsError):
        PathManager.copy(str(source), str(target))

    def torn(_: str, building: str) -> None:
        Path(building).write_text("n")
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", torn)
        with pytest.raises(OSError, match="killed"):
            PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_text() == "old"
    assert PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_text() == "new"
