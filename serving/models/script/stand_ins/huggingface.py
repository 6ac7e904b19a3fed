"""`sagemaker_huggingface_inference_toolkit`: its media types, and the functions that read and write them.

Source: https://github.com/aws/sagemaker-huggingface-inference-toolkit (content_types.py, decoder_encoder.py)
"""

from __future__ import annotations

from functools import partial
from typing import Any

from byo_container.container.script_path import byo_container_words
from byo_container.serving.codecs import media_types
from byo_container.serving.models.script.defaults import huggingface
from byo_container.serving.models.script.stand_ins.inference import UnsupportedFormatError

PACKAGE = "sagemaker_huggingface_inference_toolkit"
IMAGES = {name: f"image/{name.lower()}" for name in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")}
X_IMAGE = "image/x-image"
VISION = [*IMAGES.values(), X_IMAGE]
SOUNDS = {
    "FLAC": "audio/x-flac",
    "MP3": "audio/mpeg",
    "WAV": "audio/wave",
    "OGG": "audio/ogg",
    "X_AUDIO": "audio/x-audio",
}
CONTENT_TYPES = {
    **byo_container_words.CONTENT_TYPES,
    **IMAGES,
    "X_IMAGE": X_IMAGE,
    "VISION_TYPES": VISION,
    **SOUNDS,
    "AUDIO_TYPES": list(SOUNDS.values()),
}


def decode(content: Any, content_type: str = media_types.JSON) -> Any:
    """The value of JSON, an array from npy, else a dict of `inputs`. Raises UnsupportedFormatError, RequestError."""
    name = media_types.content_type(content_type).name
    if name not in (media_types.JSON, media_types.CSV, media_types.NPY) and not name.startswith(("image/", "audio/")):
        raise UnsupportedFormatError(content_type)
    return huggingface.input_fn(content, content_type, None)


def encode(content: Any, accept_type: str = media_types.JSON) -> Any:
    """JSON and CSV as a text; npy and images as bytes. Raises UnsupportedFormatError."""
    if accept_type == X_IMAGE:
        accept_type = huggingface.PNG
    if accept_type not in (media_types.JSON, media_types.CSV, media_types.NPY, *huggingface.IMAGES):
        raise UnsupportedFormatError(accept_type, 406)
    body, _ = huggingface.output_fn(content, accept_type, None)
    return body.decode() if accept_type in (media_types.JSON, media_types.CSV) and isinstance(body, bytes) else body


def modules() -> dict[str, dict[str, Any]]:
    return {
        f"{PACKAGE}.content_types": CONTENT_TYPES,
        f"{PACKAGE}.decoder_encoder": {
            "decode": decode,
            "encode": encode,
            "decode_json": decode,
            "decode_csv": partial(decode, content_type=media_types.CSV),
            "decode_image": partial(decode, content_type=X_IMAGE),
            "decode_audio": partial(decode, content_type="audio/x-audio"),
            "encode_json": lambda content, accept_type=None: encode(content),
            "encode_csv": lambda content, accept_type=None: encode(content, media_types.CSV),
            "encode_image": lambda image, accept_type=huggingface.PNG: encode(image, accept_type),
        },
    }
