# mypy: ignore-errors
"""A runtime for MLServer that echoes strings by the V2 inference protocol.

mlserver start FOLDER    # FOLDER/model-settings.json names mlserver_echo.Echo
"""

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Echo(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        result = StringCodec.encode_output("result", texts)
        return InferenceResponse(model_name=self.name, outputs=[result])
