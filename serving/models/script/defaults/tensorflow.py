"""Defaults of SageMaker's container for TensorFlow: a SavedModel is loaded, and requests are TensorFlow Serving's.

Sources: https://www.tensorflow.org/tfx/serving/api_rest#predict_api and, for bodies that are no request of TensorFlow
Serving's, https://github.com/aws/sagemaker-tensorflow-serving-container#making-predictions
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.model_files import find_saved_model
from byo_container.serving.codecs import decoding, media_types, negotiation
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.errors import RequestError
from byo_container.serving.models.script.defaults import encoding, formats
from byo_container.serving.models.script.defaults.family import Defaults
from byo_container.serving.models.script.defaults.formats import sentence

DEFAULT_SIGNATURE = "serving_default"
INSTANCES, INPUTS = "instances", "inputs"
B64 = "b64"


@dataclass(frozen=True)
class Payload:
    """The values of a request, before they are fitted to the types and shapes of the model's inputs."""

    values: Any
    by_row: bool = True
    """Whether `values` are instances, one after another; else they are whole inputs."""
    bare: bool = False
    """Whether `values` came without a key and may as well be one instance alone."""
    signature: str = ""


class SavedModel:
    """A SavedModel's signatures, by their names."""

    def __init__(self, path: Path) -> None:
        tensorflow = _tensorflow()
        try:
            self._loaded = tensorflow.saved_model.load(str(path))  # the variables live as long as this object
        except (OSError, ValueError, RuntimeError, tensorflow.errors.OpError) as error:
            raise JobError(f"{path} cannot be loaded as a SavedModel: {_first_line(error)}") from error
        self.signatures: Mapping[str, Any] = dict(self._loaded.signatures)
        if not self.signatures:
            raise JobError(
                f"{path} has no signatures, so nothing says what it takes; save it by Keras's model.export, or by "
                "tf.saved_model.save(model, path, signatures=…)"
            )

    def find(self, name: str) -> Any:
        """The signature `name`; without a name serving_default, or the only one. Raises RequestError 400."""
        if not name and len(self.signatures) == 1:
            return next(iter(self.signatures.values()))
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            known = sentence(sorted(self.signatures))
            raise RequestError(400, f"the model has no signature {name or DEFAULT_SIGNATURE!r}; it has {known}")
        return found


def model_fn(model_dir: str, context: Any) -> SavedModel:
    """The SavedModel of the highest version. Raises JobError."""
    path = find_saved_model(Path(model_dir))
    if path is None:
        raise JobError(
            f"{model_dir} has no SavedModel, which is a folder with saved_model.pb, such as {model_dir}/1; save the "
            "model by model.export, or bring an inference.py with model_fn"
        )
    return SavedModel(path)


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError:
        raise JobError("the model needs TensorFlow, which this image does not have (EXTRAS=tensorflow)") from None
    return tensorflow


def _of_json(data: formats.Data, media: MediaType) -> Payload:
    return _of_value(formats.json_value(data, media))


def _of_value(value: Any) -> Payload:
    if not isinstance(value, dict) or not ({INSTANCES, INPUTS} & value.keys()):
        if isinstance(value, dict) and "examples" in value:
            raise ValueError("TensorFlow Serving's classify and regress are not here; send instances or inputs")
        return Payload(value, bare=True)
    if INSTANCES in value and INPUTS in value:
        raise ValueError("it holds both instances and inputs; send one of them")
    signature = value.get("signature_name", "")
    if not isinstance(signature, str):
        raise ValueError(f"signature_name is {signature!r}; it must be a text")
    if INPUTS in value:
        return Payload(value[INPUTS], by_row=False, signature=signature)
    if not isinstance(value[INSTANCES], list) or not value[INSTANCES]:
        raise ValueError("instances must be a list with an item for each instance")
    return Payload(value[INSTANCES], signature=signature)


def _of_lines(data: formats.Data, media: MediaType) -> Payload:
    """An instance on each line; a line alone is a value like any other in JSON."""
    values = decoding.decode(formats.bytes_of(data), MediaType(media_types.JSON_LINES, media.charset))[0]
    return Payload(values) if len(values) > 1 else _of_value(values[0])


def _of_csv(data: formats.Data, media: MediaType) -> Payload:
    """A list of cells for each row, all of them texts."""
    rows = decoding.decode(formats.bytes_of(data), media)[0]
    return Payload([row if isinstance(row, list) else [row] for row in rows], bare=True)


def _of_npy(data: formats.Data, media: MediaType) -> Payload:
    return Payload(formats.npy_array(data, media))


READERS: dict[str, Any] = {
    media_types.JSON: _of_json,
    media_types.CSV: _of_csv,
    media_types.JSON_LINES: _of_lines,
    "application/jsons": _of_lines,  # the container's other name for it
    media_types.NPY: _of_npy,
}


def input_fn(data: Any, content_type: str, context: Any) -> Any:
    return formats.read(READERS, data, content_type)


def predict_fn(data: Any, model: SavedModel, context: Any) -> dict[str, Any]:
    """`{"predictions": …}` for instances, `{"outputs": …}` for inputs. Raises RequestError 400."""
    if not isinstance(data, Payload):  # of a script's own input_fn: the batch itself, or inputs by their names
        data = Payload(data, by_row=not isinstance(data, dict))
    signature = model.find(data.signature)
    inputs = dict(signature.structured_input_signature[1])
    tensorflow = _tensorflow()
    tensors = {name: _tensor(name, values, inputs[name]) for name, values in arrange(data, inputs).items()}
    try:
        found = {name: output.numpy() for name, output in signature(**tensors).items()}
    except (tensorflow.errors.InvalidArgumentError, tensorflow.errors.OutOfRangeError) as error:
        raise RequestError(400, f"the model cannot compute this: {_cause(error)}") from None
    if not data.by_row:
        outputs = {name: readable(name, array) for name, array in found.items()}
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    return {"predictions": rows_of(found)}


def arrange(data: Payload, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The values of each input by its name. `inputs` are the signature's. Raises RequestError 400."""
    values = data.values
    if data.bare:
        values = _instances(values, inputs)
    if data.by_row and isinstance(values, list) and all(_is_named(value) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        _check_names(names, inputs)
        for number, value in enumerate(values):
            if len(value) < len(names):
                missing = sentence(sorted(names.keys() - value.keys()))
                raise RequestError(400, f"instance {number} has no {missing}, as others have")
        return {name: [value[name] for value in values] for name in names}
    if not data.by_row and _is_named(values):
        _check_names(values, inputs)
        return dict(values)
    if len(inputs) != 1:
        raise RequestError(400, f"the model takes {sentence(sorted(inputs))}: send objects with these names")
    return {next(iter(inputs)): values}


def _instances(value: Any, inputs: Mapping[str, Any]) -> Any:
    """A value without a key as a list of instances: with as many dimensions as the model's input, it is that list."""
    rank = next(iter(inputs.values())).shape.rank if len(inputs) == 1 else None
    if isinstance(value, list) and value and all(_is_named(one) for one in value):
        return value
    depth = _depth(value)
    if rank == 1 and depth == 2 and all(len(row) == 1 for row in value):  # a column of CSV
        return [cell for (cell,) in value]
    if isinstance(value, list) and (depth == rank or (depth > 1 and rank is None) or depth > 1):
        return value
    return [value]


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth, value = depth + 1, value[0] if value else None
    return depth


def _is_named(value: Any) -> bool:
    """Whether it is an object with inputs by their names, and not bytes in base64."""
    return isinstance(value, dict) and value.keys() != {B64}


def _check_names(names: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    if names.keys() != inputs.keys():
        sent = sentence(sorted(names)) if names else "none"
        raise RequestError(400, f"the model takes {sentence(sorted(inputs))}, and was sent {sent}")


def _tensor(name: str, values: Any, spec: Any) -> Any:
    """Raises RequestError 400 for values that do not fit `spec`."""
    wanted = f"input {name!r} takes {spec.dtype.name} of shape {_shown(spec.shape)}"
    try:
        array = _array(values, spec.dtype)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        why = "its lists differ in length" if "inhomogeneous" in str(error) else _first_line(error)
        raise RequestError(400, f"{wanted}; what was sent is none: {why}") from None
    if not spec.shape.is_compatible_with(array.shape):
        raise RequestError(400, f"{wanted}; what was sent has shape {_shown(array.shape)}")
    return _tensorflow().constant(array, spec.dtype)


def _shown(shape: Any) -> str:
    if getattr(shape, "rank", 0) is None:
        return "any"
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _array(values: Any, dtype: Any) -> Any:
    """A NumPy array for a tensor of this type. Raises ValueError, TypeError or OverflowError."""
    numpy = media_types.import_numpy(415)
    if isinstance(values, numpy.ndarray):
        if values.dtype.kind not in "biuf" or not numpy.can_cast(values.dtype, dtype.as_numpy_dtype, "same_kind"):
            raise TypeError(f"an array of {values.dtype}")
        return values
    if dtype.name == "string":
        return _texts(values)
    if dtype.name == "bool":
        array = numpy.array(values, object)
        if not all(isinstance(value, bool) for value in array.flat):
            raise TypeError("true and false are expected")
        return array.astype(bool)
    # Directly in the wanted type: from mixed numbers and texts NumPy would make texts as long as the longest.
    with numpy.errstate(over="ignore"):
        array = numpy.array(values, dtype.as_numpy_dtype)
    if array.dtype.kind in "iu":
        if not (numpy.array(values, numpy.float64) % 1 == 0).all():
            raise ValueError("whole numbers are expected")
    elif not numpy.isfinite(array).all():
        raise ValueError("it holds null, NaN or a number that is too large")
    return array


def _texts(values: Any) -> Any:
    numpy = media_types.import_numpy(415)
    array = numpy.array(_encoded(values), object)
    if not all(isinstance(value, bytes) for value in array.flat):
        raise ValueError("its lists differ in length")
    return array


def _encoded(value: Any) -> Any:
    """Texts as bytes, in lists as they were."""
    if isinstance(value, list):
        return [_encoded(one) for one in value]
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get(B64), str):
        try:
            return base64.b64decode(value[B64], validate=True)
        except binascii.Error as error:
            raise ValueError(f'"{B64}" is no base64: {error}') from None
    raise TypeError(f"texts are expected, not {value!r:.50}")


def readable(name: str, array: Any) -> Any:
    """An output as values for JSON: bytes as texts, or as `{"b64": …}` where its name ends with _bytes or they are no
    UTF-8."""
    if array.dtype != object:
        return array
    return _decoded(array.tolist(), name.endswith("_bytes"))


def _decoded(value: Any, binary: bool) -> Any:
    if isinstance(value, list):
        return [_decoded(one, binary) for one in value]
    if not binary:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {B64: base64.b64encode(value).decode()}


def rows_of(outputs: Mapping[str, Any]) -> Any:
    """A prediction for each instance: of one output its values, of several an object with all of them."""
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return readable(name, array)
    sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
    if len(set(sizes.values())) != 1 or None in sizes.values():
        raise RequestError(
            400, f"the outputs have no row for each instance ({sizes}): send inputs in place of instances"
        )
    rows = zip(*(readable(name, array) for name, array in outputs.items()), strict=True)
    return [dict(zip(outputs, row, strict=True)) for row in rows]


def output_fn(prediction: Any, accept: str, context: Any) -> tuple[Any, str]:
    """TensorFlow Serving's answer in JSON, also as a line of it; in types that have no objects, what it holds."""
    bare = negotiation.answer_type(accept, media_types.JSON) not in (media_types.JSON, media_types.JSON_LINES)
    if bare and isinstance(prediction, dict) and len(prediction) == 1:
        (prediction,) = prediction.values()
    return encoding.output_fn(prediction, accept, context)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _cause(error: BaseException) -> str:
    """TensorFlow's message for an operation that failed: the line before that of the operation, [[{{node …}}]]."""
    lines = [line.strip() for line in str(error).partition("[[{{")[0].splitlines() if line.strip()]
    return re.sub(r"\{\{[^{}]*\}\} ?", "", lines[-1]) if lines else type(error).__name__


def _can_predict(model: Any) -> bool:
    return isinstance(model, SavedModel)


DEFAULTS = Defaults("TensorFlow Serving", input_fn, predict_fn, output_fn, model_fn=model_fn, can_predict=_can_predict)
