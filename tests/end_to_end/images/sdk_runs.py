"""Starts the SDK's own programs: offline, with credentials that are none, in the environment that tools/sdk.sh made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
PROGRAMS = Path(__file__).with_name("sdk")
NOWHERE = "http://127.0.0.1:9"  # nobody listens there
OFFLINE = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": NOWHERE,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "PYTHONWARNINGS": "ignore",
}


class SDK:
    """One version of the SDK, and a folder in which it may work."""

    def __init__(self, version: str, root: Path) -> None:
        self.python = REPOSITORY / f".venv-sdk-{version}/bin/python"
        self.program = PROGRAMS / f"{version}.py"
        self.root = root
        root.mkdir()
        self.log = ""
        if not self.python.exists():
            pytest.skip(f"SageMaker's SDK is not there; `tools/sdk.sh {version}` installs it")
        if not shutil.which("docker-compose") and subprocess.run(["docker", "compose", "version"]).returncode:  # noqa: S607
            pytest.skip("SageMaker's SDK needs Docker Compose, and there is none")

    def run(self, function: str, **arguments: Any) -> Any:
        """What a function of the program returns; what it printed is in `log`."""
        config = self.root / "config.yaml"
        config.write_text("SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n")
        folders = {"HOME": str(self.root), "TMPDIR": str(self.root), "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config)}
        done = subprocess.run(
            [self.python, self.program, function, json.dumps({"root": str(self.root), **arguments})],
            env={**os.environ, **OFFLINE, **folders},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        self.log = done.stdout
        assert done.returncode == 0, done.stdout[-6000:]
        (result,) = (line for line in done.stdout.splitlines() if line.startswith("RESULT "))
        return json.loads(result.removeprefix("RESULT "))


def line_of(model: str) -> dict[str, Any]:
    """What examples/own_scripts/train.py left in a model.tar.gz."""
    with tarfile.open(model.removeprefix("file://")) as archive:
        member = archive.extractfile("line.json")
        assert member is not None
        return dict(json.load(member))
