"""A release that an operator names is looked for before anything is deployed."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.stub import Stubber

from deploy.aws.account import Account
from deploy.aws.deploying import DeploymentError


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
