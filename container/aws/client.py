"""boto3 clients, and boto3's errors as JobErrors with advice.

All of boto3's own settings apply (credentials, AWS_ENDPOINT_URL_…, proxies, AWS_CA_BUNDLE). boto3 is imported only when
a client is made, because most jobs need none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from byo_container.container.failure import JobError

ATTEMPTS = 3
# Where packets are dropped, each attempt times out once for each of a service's eight addresses.
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20
# Advice by AWS's error code.
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
    """A boto3 client of a service such as `s3`. It gives up after about a minute without a connection."""
    import boto3  # takes 0.2 s, and not every image has it
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    config = Config(connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries=retries)
    return boto3.client(service, region_name=region, endpoint_url=endpoint, config=config)


@contextlib.contextmanager
def errors_explained(failed: str, otherwise: str, advice: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turns boto3's errors into a JobError that says what `failed`, why, and what would be right. `otherwise` says how
    to do without AWS; `advice`, by error code, goes before the general ADVICE."""
    try:
        yield
    except ImportError as error:
        if not str(error.name).startswith("boto"):
            raise
        raise JobError(
            f"{failed}: boto3 is not installed in this image; pip install 'byo-container[s3]', or {otherwise}"
        ) from None
    except Exception as error:
        reason = _reason(error, {**ADVICE, **(advice or {})}, otherwise)
        if reason is None:
            raise
        raise JobError(f"{failed}: {reason}") from None


def _reason(error: Exception, advice: Mapping[str, str], otherwise: str) -> str | None:
    """The reason of an error that boto3 raises; None for any other error."""
    try:
        from botocore import exceptions as boto
    except ImportError:
        return None
    if isinstance(error, boto.ClientError):
        details = error.response.get("Error", {})
        code, message = str(details.get("Code", "")), str(details.get("Message", ""))
        return f"{advice.get(code) or message} ({code} at {error.operation_name})"
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return f"{error}; give the job a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or {otherwise}"
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        return (
            f"AWS cannot be reached ({error}); without a way to it (network isolation, a private subnet), {otherwise}"
        )
    # boto3 raises ValueError for an endpoint that is not a URL.
    return str(error) if isinstance(error, boto.BotoCoreError | ValueError) else None
