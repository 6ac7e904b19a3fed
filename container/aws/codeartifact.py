"""A company's own package index in AWS CodeArtifact, which the variable CA_REPOSITORY_ARN names.

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
    """The repository's address for pip, a token for some hours in it: nothing for logs or command lines. Raises
    JobError."""
    found = ARN.fullmatch(arn)
    if not found:
        raise JobError(
            f"the environment variable {VARIABLE} is {arn!r}; it must be one such as "
            "arn:aws:codeartifact:eu-west-1:123456789012:repository/my-domain/my-repository"
        )
    domain = {"domain": found["domain"], "domainOwner": found["owner"]}
    otherwise = f"unset {VARIABLE} to install from pip's own index"
    with aws.in_words(f"the package index {arn}, which {VARIABLE} names, cannot be used", otherwise):
        client = aws.client("codeartifact", found["region"])
        token = client.get_authorization_token(**domain)["authorizationToken"]
        answer = client.get_repository_endpoint(**domain, repository=found["repository"], format="pypi")
    address = urlsplit(answer["repositoryEndpoint"])
    return f"{address.scheme}://aws:{quote(token, safe='')}@{address.netloc}{address.path.rstrip('/')}/simple/"
