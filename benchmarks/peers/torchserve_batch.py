# mypy: ignore-errors
"""A handler for TorchServe that is worth its batches: 10 ms a call and 1 ms an input."""

import json
import time


class Batchable:
    def initialize(self, context):
        pass

    def handle(self, requests, context):
        sent = [request.get("body") or request.get("data") for request in requests]
        texts = [(one if isinstance(one, dict) else json.loads(one))["input"] for one in sent]
        time.sleep(0.010 + 0.001 * len(texts))
        return [{"result": text} for text in texts]
