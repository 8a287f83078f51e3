"""What is asked of the account before anything is deployed: for the release that an operator names,
and for the addresses that machines may reach."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from deploy.aws.account import Account, prefix_list
from deploy.aws.deploying import DeploymentError
from tests.support import local_engines
from tools.engines.launch import Name


@pytest.mark.parametrize(
    ("release", "bucket", "code", "told"),
    [
        ("v1.2", "releases", "", "give the hash of a release"),
        ("0" * 64, "", "", "the environment has no bucket of releases yet"),
        (
            "0" * 64,
            "releases",
            "404",
            r"it isn't in the bucket; `aws s3 ls s3://releases/releases/`",
        ),
    ],
)
def test_a_release_that_is_not_there_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, release: str, bucket: str, code: str, told: str
) -> None:
    account = Account("eu-west-1")
    s3 = botocore.session.get_session().create_client("s3", region_name="eu-west-1")
    monkeypatch.setattr(account, "client", lambda service: s3)
    with Stubber(s3) as stub:
        if code:
            wanted = {"Bucket": bucket, "Key": f"releases/{release}.tar.gz"}
            stub.add_client_error("head_object", code, expected_params=wanted)
        with pytest.raises(DeploymentError, match=told):
            account.require_release(release, bucket)
        stub.assert_no_pending_responses()


def test_a_release_that_is_there_is_gone_back_to(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("eu-west-1")
    s3 = botocore.session.get_session().create_client("s3", region_name="eu-west-1")
    monkeypatch.setattr(account, "client", lambda service: s3)
    with Stubber(s3) as stub:
        stub.add_response("head_object", {})
        account.require_release("0" * 64, "releases")
        stub.assert_no_pending_responses()


def ec2(endpoint: str | None = None) -> Any:
    return botocore.session.get_session().create_client(
        "ec2", region_name="eu-west-1", endpoint_url=endpoint
    )


@pytest.mark.parametrize("engine", ["ministack", "moto"])
@pytest.mark.parametrize("service", ["dynamodb", "s3"])
def test_the_addresses_of_a_service_are_those_of_the_region(
    monkeypatch: pytest.MonkeyPatch, engine: Name, service: str
) -> None:
    """Of another region they would shut machines off from their tables or files."""
    local_engines.use_local_credentials(monkeypatch)
    client = ec2(local_engines.url(engine))
    asked = client.describe_managed_prefix_lists(PrefixListIds=[prefix_list(client, service)])
    (found,) = asked["PrefixLists"]
    assert found["PrefixListName"] == f"com.amazonaws.eu-west-1.{service}"


def test_a_region_that_names_no_addresses_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local_engines.use_local_credentials(monkeypatch)
    client = ec2()
    with Stubber(client) as stub:
        stub.add_response("describe_managed_prefix_lists", {"PrefixLists": []})
        with pytest.raises(DeploymentError, match=r"no addresses of s3 .*set outbound = true"):
            prefix_list(client, "s3")
