"""The private package index in AWS CodeArtifact that the variable CA_REPOSITORY_ARN names.

Source: https://docs.aws.amazon.com/codeartifact/latest/ug/python-configure-pip.html
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from byo_container.container.aws import client as aws
from byo_container.container.failure import JobError

VARIABLE = "CA_REPOSITORY_ARN"
ARN = re.compile(
    r"arn:[^:]+:codeartifact:(?P<region>[^:]+):(?P<owner>[^:]+):repository/(?P<domain>[^/]+)/(?P<repository>[^/]+)"
)


def index_url(arn: str) -> str:
    """The repository's URL for pip. It holds a token that is valid for some hours, so it must not appear in logs or on
    command lines. Raises JobError."""
    match = ARN.fullmatch(arn)
    if not match:
        raise JobError(
            f"the environment variable {VARIABLE} is {arn!r}; it must be one such as "
            "arn:aws:codeartifact:eu-west-1:123456789012:repository/my-domain/my-repository"
        )
    domain = {"domain": match["domain"], "domainOwner": match["owner"]}
    otherwise = f"unset {VARIABLE} to install from pip's own index"
    with aws.errors_explained(f"the package index {arn}, which {VARIABLE} names, cannot be used", otherwise):
        client = aws.client("codeartifact", match["region"])
        token = client.get_authorization_token(**domain)["authorizationToken"]
        response = client.get_repository_endpoint(**domain, repository=match["repository"], format="pypi")
    url = urlsplit(response["repositoryEndpoint"])
    return f"{url.scheme}://aws:{quote(token, safe='')}@{url.netloc}{url.path.rstrip('/')}/simple/"
