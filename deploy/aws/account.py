"""The account at AWS that an environment is deployed to, and its bucket for releases."""

from __future__ import annotations

import re
from typing import Any

import botocore.exceptions as failures
import botocore.session

from deploy.aws.deploying import DeploymentError
from deploy.aws.release import Release

HASH = re.compile("[0-9a-f]{64}")
# What S3 says of an object that isn't there; of one whose bucket may not be listed it says 403.
ABSENT = ("404", "NoSuchKey")


def prefix_list(client: Any, service: str) -> str:
    """The id of AWS's own list of the service's addresses, where this client of EC2 asks."""
    name = f"com.amazonaws.{client.meta.region_name}.{service}"
    found = client.describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [name]}]
    )["PrefixLists"]
    if not found:
        raise DeploymentError(
            f"AWS names no addresses of {service} (the prefix list {name}), so machines can't be held "
            "to them; set outbound = true, or deploy in another region"
        )
    return str(found[0]["PrefixListId"])


class Account:
    """Clients for one region; credentials are found as AWS's own tools find them."""

    def __init__(self, region: str, endpoint: str = "") -> None:
        self._session = botocore.session.get_session()
        self._region = region
        self._endpoint = endpoint or None

    def client(self, service: str) -> Any:
        return self._session.create_client(
            service, region_name=self._region, endpoint_url=self._endpoint
        )

    def require(self) -> str:
        """The account's number; raises `DeploymentError` that says what is missing."""
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except failures.NoCredentialsError as error:
            raise DeploymentError(
                "no AWS credentials are found; log in, and set AWS_PROFILE"
            ) from error
        except (failures.ClientError, failures.BotoCoreError) as error:
            raise DeploymentError(f"AWS doesn't let us in: {error}") from error

    def require_release(self, sha256: str, bucket: str) -> None:
        """Raises `DeploymentError` unless the bucket has the release of this hash."""
        if not HASH.fullmatch(sha256):
            raise DeploymentError(
                f"--release {sha256} can't be used: give the hash of a release, 64 letters of 0-9a-f"
            )
        if not bucket:
            raise DeploymentError(
                f"--release {sha256} can't be used: the environment has no bucket of releases yet; "
                "deploy without it"
            )
        try:
            self.client("s3").head_object(Bucket=bucket, Key=Release.key_of(sha256))
        except failures.ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ABSENT:
                raise
            raise DeploymentError(
                f"--release {sha256} can't be used: it isn't in the bucket; "
                f"`aws s3 ls s3://{bucket}/releases/` lists those that are"
            ) from error

    def upload(self, release: Release, bucket: str) -> str:
        """Brings the release there unless it is there already; answers its hash."""
        client = self.client("s3")
        try:
            client.head_object(Bucket=bucket, Key=release.key)
        except failures.ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ABSENT:
                raise
            with release.path.open("rb") as file:
                client.put_object(Bucket=bucket, Key=release.key, Body=file)
        return release.sha256
