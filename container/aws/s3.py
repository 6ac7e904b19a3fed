"""A user's code from S3, where SageMaker's SDKs put it: `s3://bucket/job/source/sourcedir.tar.gz`.

By boto3 with all of its settings, and S3_ENDPOINT_URL, which the SDK's local mode sets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from byo_container.container.aws import client as aws
from byo_container.container.failure import JobError
from byo_container.container.log import log

SCHEME = "s3://"
CHUNK = 1 << 20
OTHERWISE = (
    "bring the code in a channel (file:///opt/ml/input/data/code/sourcedir.tar.gz) or in the image's /opt/ml/code"
)
ADVICE = {
    "NoSuchBucket": "there is no such bucket; see that its name is spelled right",
    "NoSuchKey": "there is neither such an object nor one below it; see that the key is spelled right",
    "AccessDenied": "the execution role may not read it (s3:GetObject; s3:ListBucket for a folder), or it is not there",
    "InvalidObjectState": "the object is archived; restore it first",
}


def download(
    address: str,
    folder: Path,
    region: str | None = None,
    environ: Mapping[str, str] = os.environ,
    otherwise: str = OTHERWISE,
) -> Path:
    """Downloads what an address names into the private `folder`, and gives its path: of a file for an object, of a
    folder for all objects below a key. Raises JobError that names the address and what would be right."""
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not bucket or not key.strip("/"):
        raise JobError(f"the code's address is {address!r}; it must be one such as s3://bucket/job/sourcedir.tar.gz")
    with aws.in_words(f"the code cannot be fetched from {address}", otherwise, ADVICE):
        client = aws.client("s3", environ.get("AWS_REGION") or region, environ.get("S3_ENDPOINT_URL") or None)
        log.info("fetching the code from %s", address)
        return _object(client, bucket, key, folder) or _objects(client, bucket, key, folder)


def _object(client: Any, bucket: str, key: str, folder: Path) -> Path | None:
    """The path of the one object, None where there is none of this name."""
    if key.endswith("/"):
        return None
    path = folder / key.rpartition("/")[2]
    try:
        _save(client, bucket, key, path)
    except client.exceptions.NoSuchKey:
        return None
    return path


def _objects(client: Any, bucket: str, key: str, folder: Path) -> Path:
    """The folder of all objects below a key. Raises NoSuchKey where there is none."""
    found = False
    target = folder / "objects"
    for name, relative in _names(client, bucket, key.rstrip("/") + "/"):
        found = True
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        _save(client, bucket, name, target / relative)
    if not found:
        raise client.exceptions.NoSuchKey({"Error": {"Code": "NoSuchKey"}}, "ListObjectsV2")
    return target


def _names(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    """The keys below a prefix, and their paths relative to it. Raises JobError for one that leads elsewhere."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for name in (entry["Key"] for entry in page.get("Contents", ())):
            relative = name.removeprefix(prefix)
            if name.endswith("/"):
                continue  # what the console makes for an empty folder
            if any(part in ("", ".", "..") for part in relative.split("/")):
                raise JobError(f"{SCHEME}{bucket}/{name} would not stay in the folder of the code")
            yield name, relative


def _save(client: Any, bucket: str, key: str, path: Path) -> None:
    """One object as a file. A connection that breaks in the middle is tried again, as boto3 does at the beginning."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    for attempt in range(1, aws.ATTEMPTS + 1):
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
            with path.open("wb") as stream:
                for chunk in body.iter_chunks(CHUNK):
                    stream.write(chunk)
            return
        except (HTTPClientError, IncompleteReadError) as error:
            # Before the first byte, boto3 has tried often enough itself.
            if attempt == aws.ATTEMPTS or not path.exists():
                raise
            log.warning("%s%s/%s broke off (%s); fetching it again", SCHEME, bucket, key, error)
