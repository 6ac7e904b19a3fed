"""One script, one request, two answers: that of SageMaker's own toolkit, and ours."""

from __future__ import annotations

import io
import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest

from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import Settings

ABSENT = "SageMaker's inference toolkits are not there; tools/toolkits.sh installs them"


@dataclass
class Script:
    """An inference.py beside its model, under a name that no other test has: the toolkit imports it by its name."""

    folder: Path
    name: str

    @classmethod
    def write(cls, folder: Path, code: str) -> Script:
        name = f"inference_{abs(hash((str(folder), code)))}"
        (folder / f"{name}.py").write_text(textwrap.dedent(code))
        return cls(folder, name)

    def theirs(self, handler: Any, body: bytes, content_type: str, accept: str) -> tuple[int, Any]:
        """Status and body by sagemaker_inference's Transformer in multi-model-server's context."""
        mms = pytest.importorskip("mms.context", reason=ABSENT)
        transformer = pytest.importorskip("sagemaker_inference.transformer", reason=ABSENT).Transformer(handler)
        context = mms.Context("model", str(self.folder), {}, 1, None, "1.1.11")
        context.request_processor = [mms.RequestProcessor({"Content-Type": content_type, "Accept": accept})]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAGEMAKER_PROGRAM", f"{self.name}.py")
            patch.syspath_prepend(str(self.folder))
            (body,) = transformer.transform([{"body": bytearray(body)}], context)
        sys.modules.pop(self.name, None)
        return context.get_response_status(0)[0] or 200, body.encode() if isinstance(body, str) else bytes(body)

    def ours(self, body: bytes, content_type: str, accept: str, **settings: Any) -> tuple[int, bytes]:
        model = ScriptModel(self.folder / f"{self.name}.py", self.folder, Settings(**settings))
        model.load()
        (outcome,) = model.compute([Request(body, content_type, accept, lambda name: "", variables={})])
        reply = outcome[0] if isinstance(outcome, tuple) else outcome
        return (200, reply.body) if isinstance(reply, Reply) else (getattr(reply, "status", 500), str(reply).encode())


def value(body: bytes, accept: str) -> Any:
    """What a client makes of an answer."""
    if accept == "application/x-npy":
        return repr(numpy.load(io.BytesIO(body)).tolist())  # NaN is not equal to itself
    return json.loads(body) if accept == "application/json" else body
