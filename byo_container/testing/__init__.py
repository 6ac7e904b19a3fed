"""Tests for what you bring: a handler or an inference.py, trained and served in the process of the test.

    from byo_container.testing import Endpoint, train

    def test_shout(tmp_path):
        model_dir = train(Shout, tmp_path, channels={"training": {"words.txt": "hello!"}})
        with Endpoint(Shout, model_dir) as endpoint:
            assert endpoint.json("hello").value == "HELLO!"

A request takes the same way as in `serve`, from the bytes of its body to those of the answer: media types, batches,
errors as status codes, streams. What is left out is what lies around it: nginx, gunicorn and their sockets.
"""

from __future__ import annotations

from byo_container.container import old_names
from byo_container.testing.endpoint import Answer, ConversationClient, Endpoint, endpoint_of_script
from byo_container.testing.payloads import Payload, csv, json, json_lines, npy, raw, text
from byo_container.testing.training import train

__all__ = [
    "Answer",
    "ConversationClient",
    "Endpoint",
    "Payload",
    "csv",
    "endpoint_of_script",
    "json",
    "json_lines",
    "npy",
    "raw",
    "text",
    "train",
]

old_names.install()  # a test imports its handler before it makes an Endpoint
