"""The machines' role allows each call that the shop makes in any test, and nothing beside them.

That it allows each is seen at each call, in every test (`tests.support.role`); which calls there are
is in `recorded_calls.txt`, which a whole run of the tests has to bear out (`tests.support.recorded`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.exceptions as failures
import pytest

from deploy.aws import machines
from deploy.aws.rights import MACHINE_NAMESPACE
from deploy.aws.settings import read
from storekeeper.store.dynamodb.remote import Remote
from tests.deploy.templates import Assembly
from tests.deploy.test_rights import statements as synthesized
from tests.deploy.test_settings import GOOD
from tests.support import local_engines, role
from tests.support.iam import Grant, Need, grants, needs
from tests.support.recorded import differences, recorded

START = (machines.FOLDER / "start.sh").read_text()
AGENT = machines.agent(read(GOOD))
# What is allowed and never called by the shop itself: by whom then, and whether they still do.
OF_OTHERS: dict[str, Callable[[], bool]] = {
    # The AWS CLI, for the release.
    "s3:GetObject on arn:aws:s3:::*releases*/releases/*": lambda: (
        "aws s3 cp --only-show-errors 's3://@BUCKET@/releases/@RELEASE@.tar.gz'" in START
    ),
    # cfn-signal.
    "cloudformation:SignalResource on arn:aws:cloudformation:*:*:stack/*": lambda: (
        "cfn-signal" in START
    ),
    # CloudWatch's agent, for the log.
    **dict.fromkeys(
        (
            f"logs:{action} on arn:aws:logs:*:*:log-group:/storekeeper/*{streams}"
            for action in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
            for streams in ("", ":*")
        ),
        lambda: bool(AGENT["logs"]["logs_collected"]),
    ),
    # Session Manager's agent, which is part of Amazon Linux; nobody comes in by another way.
    **dict.fromkeys(
        (
            *("ssm:UpdateInstanceInformation on *", "ssmmessages:CreateControlChannel on *"),
            *("ssmmessages:CreateDataChannel on *", "ssmmessages:OpenControlChannel on *"),
            "ssmmessages:OpenDataChannel on *",
        ),
        lambda: True,
    ),
}


def allowed() -> set[str]:
    return {str(one) for one in role.OF_MACHINE}


def used() -> set[str]:
    return {line.partition(": ")[2] for line in recorded()}


def test_nothing_is_allowed_that_nobody_calls() -> None:
    assert allowed() - used() == OF_OTHERS.keys()
    for right, is_used in OF_OTHERS.items():
        assert is_used(), right


def test_all_that_was_called_is_allowed() -> None:
    assert used() <= allowed()


def test_the_template_gives_what_the_calls_are_held_to(full: Assembly) -> None:
    """Statement by statement; test_engine.py holds the names of things to those that were made."""
    found = [_shape(one) for one in synthesized(full)]
    assert found == [_shape(one) for one in role.statements()]


def _shape(statement: dict[str, Any]) -> tuple[list[str], int, list[str]]:
    actions, resources = statement["Action"], statement["Resource"]
    return (
        [actions] if isinstance(actions, str) else actions,
        len(resources) if isinstance(resources, list) else 1,
        list(statement.get("Condition") or ()),
    )


def test_figures_of_machines_are_the_agents() -> None:
    (figures,) = (one for one in role.OF_MACHINE if one.action == "cloudwatch:PutMetricData")
    assert MACHINE_NAMESPACE in figures.namespaces
    assert AGENT["metrics"]["namespace"] == MACHINE_NAMESPACE


def test_a_call_that_the_role_may_not_make_is_refused_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the tests would hold nothing to the policy."""
    local_engines.use_local_credentials(monkeypatch)
    remote = Remote(region="eu-west-1", endpoint=local_engines.url("dynamodb"))
    try:
        with pytest.raises(Exception, match="may not do dynamodb:Scan"):
            remote.call(lambda client: client.scan(TableName="any-orders"))
    finally:
        remote.close()
    (told,) = role.WATCH.denied
    assert told.startswith("dynamodb:Scan on arn:aws:dynamodb:")
    role.WATCH.denied.clear()


def test_a_call_that_nobody_looked_up_is_an_error() -> None:
    with pytest.raises(KeyError):
        needs("s3", "RestoreObject", {"Bucket": "files", "Key": "images/mug"})


@pytest.mark.parametrize(
    ("need", "is_allowed"),
    [
        (Need("s3:GetObject", "arn:aws:s3:::files/images/mug"), True),
        (Need("s3:GetObject", "arn:aws:s3:::files/other/mug"), False),
        (Need("s3:GetObject", "arn:aws:s3:::files"), False),
        (Need("s3:DeleteObject", "arn:aws:s3:::files/images/mug"), False),
    ],
)
def test_a_grant_is_for_its_action_and_resource_alone(need: Need, is_allowed: bool) -> None:
    assert Grant("s3:GetObject", "arn:aws:s3:::*/images/*").allows(need) == is_allowed


def test_metrics_are_allowed_in_their_namespaces_alone() -> None:
    condition = {"StringEquals": {"cloudwatch:namespace": ["Storekeeper/full"]}}
    statement = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"}
    (grant,) = grants([{**statement, "Condition": condition}])
    assert grant.allows(Need("cloudwatch:PutMetricData", "*", "Storekeeper/full"))
    assert not grant.allows(Need("cloudwatch:PutMetricData", "*", "Storekeeper/other"))


@pytest.mark.parametrize(
    "odd",
    [
        {"Effect": "Deny"},
        {"NotAction": "s3:*"},
        {"Condition": {"StringLike": {"dynamodb:LeadingKeys": ["a"]}}},
    ],
)
def test_a_policy_that_is_not_understood_is_no_permission(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="understood"):
        grants([{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **odd}])


def test_a_list_that_is_too_long_or_too_short_is_told() -> None:
    assert differences({"a", "b"}, {"b", "c"}) == [
        "recorded_calls.txt lacks what was called: c",
        "recorded_calls.txt has what no test called: a",
    ]


def test_a_refusal_is_as_aws_answers() -> None:
    refused = role.refusal(Need("dynamodb:Scan", "table/orders"), "Scan")
    assert isinstance(refused, failures.ClientError)
    assert refused.response["Error"]["Code"] == "AccessDeniedException"
