"""TorchServe with its dynamic batching, as its documentation starts it: an archive, a configuration, one worker."""

from __future__ import annotations

import json
import shutil
import subprocess

from benchmarks.processes import BenchmarkError, Command, free_port
from benchmarks.servers import PEERS, Launch, Place


def torchserve(place: Place, size: int, delay_ms: int) -> Launch:
    if not shutil.which("java"):
        raise BenchmarkError("needs Java: apt-get install -y openjdk-17-jre-headless")
    store = place.folder / "store"
    store.mkdir()
    archive = ("--model-name", "batchable", "--version", "1.0", "--export-path", str(store), "--handler")
    made = subprocess.run(
        [str(place.programs / "torch-model-archiver"), *archive, str(PEERS / "torchserve_batch.py")],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise BenchmarkError(f"torch-model-archiver: {made.stderr.strip()[-300:]}")
    model = {"defaultVersion": True, "marName": "batchable.mar", "minWorkers": 1, "maxWorkers": 1}
    model |= {"batchSize": size, "maxBatchDelay": delay_ms, "responseTimeout": 60}
    settings = {
        "inference_address": f"http://127.0.0.1:{place.port}",
        "management_address": f"http://127.0.0.1:{free_port()}",
        "metrics_address": f"http://127.0.0.1:{free_port()}",
        "grpc_inference_port": free_port(),
        "grpc_management_port": free_port(),
        "job_queue_size": 1000,
        "disable_token_authorization": "true",
        "load_models": "batchable.mar",
        "models": json.dumps({"batchable": {"1.0": model}}),
    }
    config = place.folder / "config.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    options = ("--foreground", "--ncs", "--disable-token-auth", "--model-store", str(store), "--ts-config", str(config))
    variables = {
        "PATH": f"{place.programs}:/usr/local/bin:/usr/bin:/bin",
        "LOG_LOCATION": str(place.folder),
        "METRICS_LOCATION": str(place.folder),
        "TEMP": str(place.folder),
    }
    start = Command((str(place.programs / "torchserve"), "--start", *options), env=variables)
    return Launch((start,), path="/predictions/batchable")
