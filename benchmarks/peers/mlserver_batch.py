# mypy: ignore-errors
"""A runtime for MLServer that is worth its batches: 10 ms a call and 1 ms an input, one call at a time.

In a thread: its event loop would stand still with it, and MLServer's own process for it (`parallel_workers` 1) fails
at the start of version 1.7.
"""

import asyncio
import time

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Batchable(MLModel):
    async def load(self) -> bool:
        self.one_at_a_time = asyncio.Lock()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        async with self.one_at_a_time:
            await asyncio.to_thread(time.sleep, 0.010 + 0.001 * len(texts))
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("result", texts)])
