"""Prepares ECR for build_and_push.sh: creates the repository if needed, and prints two lines, the registry's name and a
password for `docker login`.

    python3 tools/ecr.py REPOSITORY [REGION]
"""

from __future__ import annotations

import base64
import sys


def main(repository: str, region: str = "") -> None:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        sys.exit("ecr.py: pushing to ECR needs boto3; `make setup` installs it, or `pip install boto3`")
    try:
        ecr = boto3.client("ecr", region_name=region or None)
        uri = find_or_create(ecr, repository)
        (token,) = ecr.get_authorization_token()["authorizationData"]
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"ecr.py: {advice(error)}")
    print(uri.partition("/")[0])
    print(base64.b64decode(token["authorizationToken"]).decode().removeprefix("AWS:"))


def find_or_create(ecr: object, name: str) -> str:
    """The URI of the repository, which is created if needed."""
    try:
        (repository,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]  # type: ignore[attr-defined]
    except ecr.exceptions.RepositoryNotFoundException:  # type: ignore[attr-defined]
        repository = ecr.create_repository(repositoryName=name)["repository"]  # type: ignore[attr-defined]
        print(f"made the repository {name}", file=sys.stderr)
    return str(repository["repositoryUri"])


def advice(error: Exception) -> str:
    """The message for an error: what is wrong, and what would be right."""
    messages = {
        "NoRegionError": "no region is known; give --region, or set AWS_REGION",
        "NoCredentialsError": "no AWS credentials are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or call "
        "`aws configure`",
    }
    return messages.get(type(error).__name__, str(error))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
