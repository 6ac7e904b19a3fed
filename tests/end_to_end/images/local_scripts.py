"""Runs the scripts of local_test/ on images."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.images.docker import REPOSITORY

SCRIPTS = REPOSITORY / "local_test"
# A network that trains in seconds, and has then learned to end no sentence.
SMALL_TRANSLATION = {
    "arch": "fconv_iwslt_de_en",
    "encoder_layers": "[(32, 3)] * 2",
    "decoder_layers": "[(32, 3)]",
    "encoder_embed_dim": "32",
    "decoder_embed_dim": "32",
    "decoder_out_embed_dim": "32",
    "max_tokens": "600",
    "max_epoch": "1",
    "bpe_merges": "200",
    "max_len_a": "0",
    "max_len_b": "12",
}


def run(script: str, *words: str, test_dir: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / script, *words],
        env={**os.environ, "TEST_DIR": str(test_dir), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@contextmanager
def serving(image: str, test_dir: Path) -> Iterator[str]:
    """The port of serve_local.sh, which must end with 0."""
    with socket.create_server(("", 0)) as listener:
        port = str(listener.getsockname()[1])
    environ = {**os.environ, "TEST_DIR": str(test_dir), "PORT": port, "MODEL_SERVER_WORKERS": "1"}
    with (test_dir / "log").open("w") as log:
        process = subprocess.Popen([SCRIPTS / "serve_local.sh", image], env=environ, stdout=log, stderr=log)
        try:
            ready = run("await.sh", str(process.pid), test_dir=test_dir, PORT=port)
            assert ready.returncode == 0, ready.stdout + ready.stderr + (test_dir / "log").read_text()
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(timeout=60)
    assert status == 0, (test_dir / "log").read_text()


def predict(test_dir: Path, port: str, payload: object) -> object:
    question = test_dir / "question.json"
    question.write_text(json.dumps(payload))
    done = run("predict.sh", str(question), test_dir=test_dir, PORT=port)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
