"""Machines may make each call at AWS that the shop makes in any test, and no other.

That each is allowed is seen at each call, in every test (`tests.support.role`). Which there are is in
`recorded_calls.txt`, which every run of the tests has to bear out (`tests.support.recorded`).
"""

from __future__ import annotations

import re

import pytest

from deploy.aws import machines
from deploy.aws.settings import read
from storekeeper import aws
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.dynamodb.remote import Remote
from tests.deploy.templates import Assembly
from tests.deploy.test_rights import statements
from tests.deploy.test_settings import GOOD
from tests.support import local_engines, role
from tests.support.iam import Need, needs
from tests.support.processes import ROOT
from tests.support.recorded import differences, recorded

SOURCES = ROOT / "src"
# What the shop itself never calls, by who does.
_LOG = "arn:aws:logs:*:*:log-group:/storekeeper/*"
OF_OTHERS = {
    "the AWS CLI, when a machine starts (start.sh)": {
        "s3:GetObject on arn:aws:s3:::*releases*/releases/*"
    },
    "CloudWatch's agent, for the log": {
        f"logs:{action} on {_LOG}{streams}"
        for action in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
        for streams in ("", ":*")
    },
    "Session Manager's agent, by which operators come in": {
        "ssm:UpdateInstanceInformation on *",
        "ssmmessages:CreateControlChannel on *",
        "ssmmessages:CreateDataChannel on *",
        "ssmmessages:OpenControlChannel on *",
        "ssmmessages:OpenDataChannel on *",
    },
}


def allowed() -> set[str]:
    return {f"{one.action} on {one.resource}" for one in role.ALLOWED}


def used() -> set[str]:
    return {line.partition(": ")[2] for line in recorded()}


def test_nothing_is_allowed_that_nobody_calls() -> None:
    assert allowed() - used() == set().union(*OF_OTHERS.values())


def test_all_that_was_called_is_allowed() -> None:
    assert used() <= allowed()


def test_figures_are_allowed_under_the_names_that_the_shop_and_the_agent_use(
    least: Assembly,
) -> None:
    (condition,) = (one["Condition"] for one in statements(least) if "Condition" in one)
    given = read({**GOOD, "name": "least"})
    shop = machines.settings(given, machines.Places("", "", "", ""))
    assert condition["StringEquals"]["cloudwatch:namespace"] == [
        shop["STOREKEEPER_CLOUDWATCH_NAMESPACE"],
        machines.agent(given)["metrics"]["namespace"],
    ]


def test_each_client_that_the_shop_opens_is_watched() -> None:
    ways = re.compile(r"\b(AioSession|get_session)\(|boto3")
    opening = {path.name for path in SOURCES.rglob("*.py") if ways.search(path.read_text())}
    assert opening == {"aws.py"}
    first, second = aws.open_session(), aws.open_session()
    assert type(first) is type(second) is role.WatchedSession
    # Each reads them for itself otherwise, a tenth of a second at every start of a client.
    assert first.get_component("data_loader") is second.get_component("data_loader")


def test_a_call_that_the_role_does_not_allow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests would hold nothing to the policy."""
    local_engines.use_local_credentials(monkeypatch)
    remote = Remote(region="eu-west-1", endpoint=local_engines.url("dynamodb"))
    export = "arn:aws:dynamodb:eu-west-1:000000000000:table/nobodys-orders/export/1"
    try:
        with pytest.raises(StoreUnavailable):
            remote.call(lambda client: client.scan(TableName="nobodys-orders"))
        with pytest.raises(StoreUnavailable):
            remote.call(lambda client: client.describe_export(ExportArn=export))
    finally:
        remote.close()
    denied, role.WATCH.denied = role.WATCH.denied, []
    assert denied == [
        "dynamodb.Scan: dynamodb:Scan on "
        "arn:aws:dynamodb:eu-west-1:000000000000:table/nobodys-orders",
        "dynamodb.DescribeExport: tests.support.iam doesn't know what it needs",
    ]


def test_a_query_of_an_index_needs_a_right_to_the_index() -> None:
    (need,) = needs("dynamodb", "Query", {"TableName": "orders", "IndexName": "by_state"})
    assert need.resource.endswith(":table/orders/index/by_state")
    assert role.allowing(need) is None


@pytest.mark.parametrize(
    ("action", "name", "is_allowed"),
    [
        ("s3:GetObject", "files/images/mug", True),
        ("s3:GetObject", "files/others/mug", False),
        ("s3:GetObject", "files", False),
        ("s3:AbortMultipartUpload", "files/images/mug", False),
    ],
)
def test_a_right_is_for_its_action_and_resource_alone(
    action: str, name: str, is_allowed: bool
) -> None:
    assert (role.allowing(Need(action, f"arn:aws:s3:::{name}")) is not None) == is_allowed


def test_a_list_that_is_too_long_or_too_short_is_told() -> None:
    lacking = "recorded_calls.txt lacks what was called: c"
    superfluous = "recorded_calls.txt has what no test called: a"
    listed, made = {"a", "b"}, {"b", "c"}
    assert differences(listed, made, is_whole=True) == [lacking, superfluous]
    assert differences(listed, made, is_whole=False) == [lacking]
