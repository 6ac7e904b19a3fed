"""boto3, where something must be fetched from AWS, and its errors in words. All of its own settings count
(credentials, AWS_ENDPOINT_URL_…, proxies, AWS_CA_BUNDLE); it is imported here only, for most jobs can do without it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from byo_container.container.failure import JobError

ATTEMPTS = 3
# A route that swallows packets shows by silence, at each of a service's eight addresses, at each attempt.
CONNECT_S = 3
ANSWER_S = 20
# What to do about an error that AWS gives by its code.
ADVICE = {
    "AccessDenied": "the job's role may not do so",
    "AccessDeniedException": "the job's role may not do so",
    "InvalidAccessKeyId": "AWS does not know the access key; see AWS_ACCESS_KEY_ID",
    "UnrecognizedClientException": "AWS does not know the access key; see AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key does not fit the access key; see AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the session's credentials have expired; get new ones",
    "ExpiredTokenException": "the session's credentials have expired; get new ones",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
}


def client(service: str, region: str | None, endpoint: str | None = None) -> Any:
    """A client of a service (`s3`), which gives up in about a minute where there is no way to it."""
    import boto3  # 0.2 s, and no part of every image
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    config = Config(connect_timeout=CONNECT_S, read_timeout=ANSWER_S, retries=retries)
    return boto3.client(service, region_name=region, endpoint_url=endpoint, config=config)


@contextlib.contextmanager
def in_words(failed: str, otherwise: str, advice: Mapping[str, str] | None = None) -> Iterator[None]:
    """Makes a JobError of what boto3 raises: what has `failed`, why, and what would be right. `otherwise` says how to
    do without AWS, and `advice` what an error's code means here."""
    try:
        yield
    except ImportError as error:
        if not str(error.name).startswith("boto"):
            raise
        raise JobError(
            f"{failed}: boto3 is not installed in this image; pip install 'byo-container[s3]', or {otherwise}"
        ) from None
    except Exception as error:
        why = _why(error, {**ADVICE, **(advice or {})}, otherwise)
        if why is None:
            raise
        raise JobError(f"{failed}: {why}") from None


def _why(error: Exception, advice: Mapping[str, str], otherwise: str) -> str | None:
    try:
        from botocore import exceptions as boto
    except ImportError:
        return None
    if isinstance(error, boto.ClientError):
        said = error.response.get("Error", {})
        code, message = str(said.get("Code", "")), str(said.get("Message", ""))
        return f"{advice.get(code) or message} ({code} at {error.operation_name})"
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return f"{error}; give the job a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or {otherwise}"
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        return (
            f"AWS cannot be reached ({error}); without a way to it (network isolation, a private subnet), {otherwise}"
        )
    # ValueError: an endpoint that is no address
    return str(error) if isinstance(error, boto.BotoCoreError | ValueError) else None
