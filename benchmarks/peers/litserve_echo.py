# mypy: ignore-errors
"""LitServe with two API servers and two workers.

    python litserve_echo.py PORT

`decode_request` must call its parameter `request`: LitServe looks for that name.
"""

import sys

import litserve


class Echo(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["input"]

    def predict(self, text):
        return text

    def encode_response(self, output):
        return {"result": output}


if __name__ == "__main__":
    server = litserve.LitServer(Echo(api_path="/invocations"), accelerator="cpu", workers_per_device=2)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=2,
        log_level="warning",
        generate_client_file=False,
    )
