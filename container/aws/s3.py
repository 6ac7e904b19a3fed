"""Downloads a user's code from S3, where SageMaker's SDKs put it: `s3://bucket/job/source/sourcedir.tar.gz`.

All of boto3's settings apply, and S3_ENDPOINT_URL, which the SDK's local mode sets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byo_container.container.aws import client as aws
from byo_container.container.failure import JobError
from byo_container.container.log import log

SCHEME = "s3://"
OTHERWISE = (
    "bring the code in a channel (file:///opt/ml/input/data/code/sourcedir.tar.gz) or in the image's /opt/ml/code"
)
ADVICE = {
    "NoSuchBucket": "there is no such bucket; see that its name is spelled right",
    "NoSuchKey": "there is neither such an object nor one below it; see that the key is spelled right",
    "AccessDenied": "the execution role may not read it (s3:GetObject; s3:ListBucket for a folder), or it is not there",
    "InvalidObjectState": "the object is archived; restore it first",
}


def download(address: str, folder: Path, region: str | None = None, otherwise: str = OTHERWISE) -> Path:
    """Downloads what `address` names into the private `folder`, and returns its path: a file for an object, a folder
    for all objects below a key. `otherwise` says how to do without S3. Raises JobError."""
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not bucket or not key.strip("/"):
        raise JobError(f"the code's address is {address!r}; it must be one such as s3://bucket/job/sourcedir.tar.gz")
    with aws.errors_explained(f"the code cannot be fetched from {address}", otherwise, ADVICE):
        client = aws.client("s3", os.environ.get("AWS_REGION") or region, os.environ.get("S3_ENDPOINT_URL") or None)
        log.info("fetching the code from %s", address)
        return _download_object(client, bucket, key, folder) or _download_prefix(client, bucket, key, folder)


def _download_object(client: Any, bucket: str, key: str, folder: Path) -> Path | None:
    """The path of the object `key`; None where there is no such object."""
    if key.endswith("/"):
        return None
    path = folder / key.rpartition("/")[2]
    try:
        _save(client, bucket, key, path)
    except client.exceptions.NoSuchKey:
        return None
    return path


def _download_prefix(client: Any, bucket: str, key: str, folder: Path) -> Path:
    """The folder with all objects below `key`. Raises NoSuchKey where there is none."""
    target = folder / "objects"
    for name, relative in _keys_below(client, bucket, key.rstrip("/") + "/"):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        _save(client, bucket, name, target / relative)
    if not target.exists():
        raise client.exceptions.NoSuchKey({"Error": {"Code": "NoSuchKey"}}, "ListObjectsV2")
    return target


def _keys_below(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    """The keys below `prefix`, each with its path relative to it. Raises JobError for one that leads out of the
    folder."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for name in (entry["Key"] for entry in page.get("Contents", ())):
            relative = name.removeprefix(prefix)
            if name.endswith("/"):
                continue  # the console makes such an object for an empty folder
            if any(part in ("", ".", "..") for part in relative.split("/")):
                raise JobError(f"{SCHEME}{bucket}/{name} would not stay in the folder of the code")
            yield name, relative


def _save(client: Any, bucket: str, key: str, path: Path) -> None:
    """Downloads one object to the file `path`. A connection that breaks in the middle is tried again. Raises what boto3
    raises."""
    from boto3.exceptions import RetriesExceededError
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import ClientError

    # Without threads SIGTERM ends a download at once, and process 1 can fork safely.
    config = TransferConfig(use_threads=False, num_download_attempts=aws.ATTEMPTS)
    try:
        client.download_file(bucket, key, str(path), Config=config)
    except RetriesExceededError as error:
        raise error.last_exception from None
    except ClientError as error:
        if error.operation_name == "HeadObject":  # which has no body, so that only the status is known
            client.get_object(Bucket=bucket, Key=key)["Body"].close()
        raise
