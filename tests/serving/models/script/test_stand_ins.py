"""Scripts that import SageMaker's toolkits, where those are not installed."""

from __future__ import annotations

import importlib
import io
import json
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.serving.errors import ModelRefusalError, RequestError
from byo_container.serving.models.script import stand_ins
from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import Settings

pytestmark = pytest.mark.skipif(
    any(find_spec(package) for package in stand_ins.PACKAGES), reason="the real ones are installed"
)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    stand_ins._finder.content.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in stand_ins.PACKAGES]:
        del sys.modules[name]


def respond(folder: Path, code: str, body: bytes, content_type: str, accept: str = "") -> Any:
    path = folder / "inference.py"
    path.write_text(textwrap.dedent(code))
    model = ScriptModel(path, folder, Settings())
    model.load()
    (outcome,) = model.compute([Request(body, content_type, accept, lambda name: "", variables={})])
    return outcome


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


TOOLKIT = """
    from sagemaker_inference import content_types, decoder, encoder, errors, utils, logging
    from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
    import sagemaker_inference.default_handler_service
    logging.get_logger().debug("imported")
    class Handler(DefaultInferenceHandler):
        pass
    def model_fn(model_dir): return 2
    def input_fn(data, content_type):
        if data == "[0]":
            raise errors.GenericInferenceToolkitError(422, "no zeros")
        return decoder.decode(data, content_type)
    def predict_fn(data, model): return data * model
    def output_fn(prediction, accept): return encoder.encode(prediction, accept), accept
"""


def test_inference_toolkit(tmp_path: Path) -> None:
    one = respond(tmp_path, TOOLKIT, b"[1, 2]", "application/json", "application/json")
    assert one == Reply(b"[2, 4]", "application/json")
    assert respond(tmp_path, TOOLKIT, b"1.5,2\n", "text/csv", "text/csv").body == b"3.0\n4.0\n"
    there_and_back = respond(tmp_path, TOOLKIT, npy([[1, 2]]), "application/x-npy", "application/x-npy")
    assert np.load(io.BytesIO(there_and_back.body)).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status", "message"),
    [
        (b"[0]", "application/json", "", 422, "no zeros"),
        (b"x", "a/b", "", 415, "the media type 'a/b' is not supported"),
        (b"[1]", "application/json", "a/b", 406, "the media type 'a/b' is not supported"),
        (b"{", "application/json", "", 400, "JSON"),
    ],
)
def test_inference_toolkit_errors_are_sent_to_the_client(
    tmp_path: Path, body: bytes, content_type: str, accept: str, status: int, message: str
) -> None:
    error = respond(tmp_path, TOOLKIT, body, content_type, accept)
    assert isinstance(error, ModelRefusalError | RequestError)
    assert (error.status, message in error.message) == (status, True)


def test_inference_toolkit_module_names() -> None:
    stand_ins.provide(["sagemaker_inference"])
    package: Any = importlib.import_module("sagemaker_inference")
    types, errors, utils = package.content_types, package.errors, package.utils
    assert types.UTF8_TYPES == [types.JSON, types.CSV]
    assert (types.NPZ, types.ANY) == ("application/x-npz", "*/*")
    error = errors.GenericInferenceToolkitError(400)
    assert (error.status_code, error.message, error.phrase) == (400, "Invalid Request", "Invalid Request")
    assert issubclass(errors.GenericInferenceToolkitError, errors.BaseInferenceToolkitError)
    assert utils.parse_accept("text/csv, */*") == ["text/csv", "*/*"]
    assert utils.retrieve_content_type_header({"ContentType": "a/b"}) == "a/b"
    handler = package.default_inference_handler.DefaultInferenceHandler()
    assert handler.default_input_fn("[1]", types.JSON).tolist() == [1]
    with pytest.raises(NotImplementedError, match=r"utils\.remove_all is no part of .* has .* read_file, write_file"):
        utils.remove_all()


HUGGING_FACE = """
    from sagemaker_huggingface_inference_toolkit import content_types, decoder_encoder
    def model_fn(model_dir): return 1
    def input_fn(data, content_type): return decoder_encoder.decode(data, content_type)
    def predict_fn(data, model): return [{"label": str(data["inputs"]), "score": 1.5}]
    def output_fn(prediction, accept):
        encoded = decoder_encoder.encode(prediction, accept)
        return encoded + "\\n" if accept == content_types.JSON else encoded
"""


def test_hugging_face_toolkit(tmp_path: Path) -> None:
    reply = respond(tmp_path, HUGGING_FACE, b'{"inputs": 1}', "application/json", "application/json")
    assert reply == Reply(b'[{"label":"1","score":1.5}]\n', "application/json")
    reply = respond(tmp_path, HUGGING_FACE, b"inputs\na\n", "text/csv", "text/csv")
    assert reply.body.split() == [b"label,score", b"['a'],1.5"]
    assert respond(tmp_path, HUGGING_FACE, b"x", "a/b").status == 415


def test_hugging_face_toolkit_images() -> None:
    image = pytest.importorskip("PIL.Image").new("RGB", (2, 1))
    stand_ins.provide(["sagemaker_huggingface_inference_toolkit"])
    toolkit: Any = importlib.import_module("sagemaker_huggingface_inference_toolkit.decoder_encoder")
    for accept, beginning in [("image/x-image", b"\x89PNG"), ("image/gif", b"GIF8"), ("image/webp", b"RIFF")]:
        written = toolkit.encode(image, accept)
        assert written.startswith(beginning)
        assert toolkit.decode(bytearray(written), accept)["inputs"].size == (2, 1)


TRAIN_AND_SERVE = """
    import sagemaker_xgboost_container.algorithm_mode.train as algorithm
    from sagemaker_containers import entry_point
    from sagemaker_containers.beta.framework import env, errors
    from sagemaker_xgboost_container import distributed
    from sagemaker_xgboost_container.checkpointing import Checkpoint, load_checkpoint
    from sagemaker_xgboost_container.data_utils import get_dmatrix
    class Mine(Checkpoint):
        pass
    def model_fn(model_dir): return 1
    def transform_fn(model, data, content_type, accept):
        try:
            distributed.rabit_run(data)
        except errors.NeverHeardOf:
            pass
        except NotImplementedError as error:
            return str(error)
"""


def test_names_for_training_are_importable_but_not_callable(tmp_path: Path) -> None:
    said = respond(tmp_path, TRAIN_AND_SERVE, b"[]", "application/json").body.decode()
    assert said.startswith(
        "sagemaker_xgboost_container.distributed.rabit_run is no part of byo-container's stand-in for "
        "sagemaker_xgboost_container, which has what an inference.py needs to serve"
    )
    for call in (sys.modules["inference"].Mine, sys.modules["inference"].get_dmatrix):
        with pytest.raises(NotImplementedError, match="is no part of byo-container's stand-in"):
            call()


def test_module_beside_the_script_may_import_a_stand_in(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("from sagemaker_inference import encoder\n")
    code = """
        import beside_it
        def model_fn(model_dir): return 1
        def transform_fn(model, data, content_type, accept):
            return beside_it.encoder.encode([1], "application/json")
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        assert json.loads(respond(tmp_path, code, b"", "").body) == [1]
    sys.modules.pop("beside_it", None)


def test_installed_package_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sagemaker_inference"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "encoder.py").write_text("REAL = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    stand_ins.provide(["sagemaker_inference"])
    assert importlib.import_module("sagemaker_inference.encoder").REAL is True


def test_broken_package_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sagemaker_inference"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "encoder.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    stand_ins.provide(["sagemaker_inference"])
    encoder: Any = importlib.import_module("sagemaker_inference.encoder")
    assert encoder.encode(1, "application/json") == "1"


@pytest.mark.parametrize("name", ["sagemaker_inference.py", "sagemaker_inference/__init__.py"])
def test_scripts_own_module_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("OWN = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    stand_ins.provide(["sagemaker_inference"])
    assert importlib.import_module("sagemaker_inference").OWN is True


def test_stand_ins_in_multi_model_mode(tmp_path: Path) -> None:
    from byo_container.serving.models.import_isolation import ModelCode

    (tmp_path / "inference.py").write_text(textwrap.dedent(TOOLKIT))
    code = ModelCode([tmp_path])
    try:
        with code.active():
            model = ScriptModel(tmp_path / "inference.py", tmp_path, Settings())
            model.load()
            (reply,) = model.compute([Request(b"[1]", "application/json", "", lambda name: "", variables={})])
        assert reply.body == b"[2]"
    finally:
        code.unload()
