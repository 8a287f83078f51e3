"""What a second engine, moto, makes of the stacks: another reading of the same templates.

`LACKING` are the stacks that it can't make. It takes alarms on metric math, which the first engine
refuses; neither computes them, and neither keeps time to live and recovery of tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from deploy.aws.account import prefix_list
from deploy.aws.assembly import Made, stacks
from deploy.aws.fixed import PREFIX_LISTS
from storekeeper.store.dynamodb.tables import TABLES, Table, creation
from tests.deploy.templates import LIVED_IN
from tests.support.local_engines import url
from tools.engines.launch import CREDENTIALS

PREFIX = f"storekeeper-{LIVED_IN}-"
REFUSALS = (ClientError, ResponseParserError)
# By stack, with what it says of it.
LACKING = {
    "notifications": "undefined resource Key",
    "secrets": "Policy statement must contain resources",
    "permissions": "No export named storekeeper-beside-notifications",
    "compute": "Internal Server Error",
    "gateway": "undefined resource Domain",
    "monitoring": "No export named storekeeper-beside-gateway",
}


def client(service: str) -> Any:
    return botocore.session.get_session().create_client(
        service,
        region_name=CREDENTIALS["AWS_REGION"],
        endpoint_url=url("moto"),
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="module")
def made(assemblies: Path) -> Mapping[str, Made]:
    """The stacks that it can make, made directly: change sets of them end in a fault of its own."""
    found = {one.part: one for one in stacks(assemblies / LIVED_IN) if one.part not in LACKING}
    for one in found.values():
        client("cloudformation").create_stack(
            StackName=one.name,
            TemplateBody=one.template,
            Parameters=[
                {"ParameterKey": name, "ParameterValue": prefix_list(client("ec2"), service)}
                for name, service in PREFIX_LISTS.items()
                if name in one.parameters
            ],
        )
    return found


def test_stacks_are_made_whole(made: Mapping[str, Made]) -> None:
    assert set(made) == {"releases", "data", "network", "identity"}
    for one in made.values():
        (stack,) = client("cloudformation").describe_stacks(StackName=one.name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        listed = client("cloudformation").list_stack_resources(StackName=one.name)
        # It loses the names of some.
        assert len(listed["StackResourceSummaries"]) == len(one.resources)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_are_as_the_application_would_make_them(
    made: Mapping[str, Made], table: Table
) -> None:
    wanted = creation(table, PREFIX)
    found = client("dynamodb").describe_table(TableName=wanted["TableName"])["Table"]
    for key in ("KeySchema", "AttributeDefinitions"):
        assert found[key] == wanted[key]
    assert found["BillingModeSummary"]["BillingMode"] == wanted["BillingMode"]
    assert found["DeletionProtectionEnabled"]


def test_alarms_on_metric_math_are_taken_as_they_are(assemblies: Path) -> None:
    (monitoring,) = (one for one in stacks(assemblies / LIVED_IN) if one.part == "monitoring")
    computed = [
        one["Properties"]
        for one in monitoring.resources.values()
        if one["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in one["Properties"]
    ]
    cloudwatch = client("cloudwatch")
    for one in computed:
        cloudwatch.put_metric_alarm(**_without_references(one))
    names = [one["AlarmName"] for one in computed]
    found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    kept = {one["AlarmName"]: one["Metrics"] for one in found}
    for one in computed:
        expressions = [each.get("Expression") for each in kept[one["AlarmName"]]]
        assert expressions == [each.get("Expression") for each in one["Metrics"]]
    assert len(computed) == 7


@pytest.mark.parametrize(("part", "reason"), LACKING.items())
def test_the_list_of_what_it_lacks_is_no_longer_than_it_must_be(
    made: Mapping[str, Made], assemblies: Path, part: str, reason: str
) -> None:
    (stack,) = (one for one in stacks(assemblies / LIVED_IN) if one.part == part)
    release = [{"ParameterKey": "Release", "ParameterValue": "0" * 64}]
    with pytest.raises(REFUSALS) as told:
        client("cloudformation").create_stack(
            StackName=stack.name,
            TemplateBody=stack.template,
            Parameters=release if part == "compute" else [],
        )
    assert reason in str(told.value)


def _without_references(value: Any) -> Any:
    """With names for what other stacks export."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return "arn:aws:sns:eu-west-1:123456789012:elsewhere"
        return {name: _without_references(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_references(one) for one in value]
    return value
