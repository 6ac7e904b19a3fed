"""The code that SAGEMAKER_SUBMIT_DIRECTORY names, where it is an archive or lies in S3: SageMaker's SDK sends
`s3://bucket/key/sourcedir.tar.gz` for a Model with an entry_point."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from byo_container.container.aws import s3
from byo_container.container.discovery import script_in
from byo_container.container.paths import Paths
from byo_container.container.source.fetch import fetch, local_path

VARIABLE = "SAGEMAKER_SUBMIT_DIRECTORY"
OTHERWISE = "put the code into the model's archive, below code/, or into the image's /opt/ml/code"


def bring(paths: Paths, runtime: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Fetches and unpacks that code into the folder of this run, and sets the variable to it, for all child processes.
    Nothing is fetched where the model brings the script itself. Raises JobError."""
    source = environ.get(VARIABLE, "")
    if not source or script_in(paths.model / "code", environ.get("SAGEMAKER_PROGRAM")):
        return
    if not source.startswith(s3.SCHEME) and not local_path(source, VARIABLE).is_file():
        return  # a folder is used where it is; the search for the script reports a missing one
    folder = runtime / "code"
    fetch(source, folder, environ.get("SAGEMAKER_REGION"), name=VARIABLE, otherwise=OTHERWISE)
    environ[VARIABLE] = str(folder)
