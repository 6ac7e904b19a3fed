# mypy: ignore-errors
"""LitServe with one worker and its dynamic batching: 10 ms a call and 1 ms an input.

python litserve_batch.py PORT SIZE DELAY_MS
"""

import sys
import time

import litserve


class Batchable(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["input"]

    def batch(self, inputs):
        return list(inputs)

    def predict(self, texts):
        time.sleep(0.010 + 0.001 * len(texts))
        return texts

    def unbatch(self, outputs):
        return list(outputs)

    def encode_response(self, output):
        return {"result": output}


if __name__ == "__main__":
    port, size, delay_ms = map(int, sys.argv[1:])
    api = Batchable(api_path="/invocations", max_batch_size=size, batch_timeout=delay_ms / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
