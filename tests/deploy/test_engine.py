"""The stacks are deployed to a local engine by the deployment's own code, as far as it can make
them, and the application takes what was made. What the engine can't make is listed in
`tests.deploy.engine`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import botocore.exceptions
import pytest

from deploy.aws.assembly import Made, stacks
from deploy.aws.deploying import DeploymentError, deploy, rollback_of
from deploy.aws.rights import Things, rights
from deploy.aws.routes import routes
from storekeeper.store.dynamodb.snapshots import folder_of
from storekeeper.store.dynamodb.tables import TABLES, Table, creation
from tests.deploy.engine import UNKNOWN, Aws

REGION = "eu-west-1"
ACCOUNT = "000000000000"
RELEASE = "0" * 64


@pytest.fixture(scope="module")
def aws() -> Aws:
    return Aws()


@pytest.fixture(scope="module")
def made(aws: Aws, assemblies: Path) -> list[Made]:
    return aws.known(assemblies / "full")


@pytest.fixture(scope="module")
def outputs(aws: Aws, made: list[Made]) -> dict[str, dict[str, str]]:
    """Everything deployed, in order."""
    return deploy(aws.formation, made, upload=lambda bucket: RELEASE, prefix_list=aws.prefix_list)


def test_all_stacks_can_be_made_in_their_order(
    aws: Aws, made: list[Made], outputs: dict[str, dict[str, str]]
) -> None:
    assert list(outputs) == [one.part for one in made]
    assert len(outputs) == 11
    for stack in made:
        found = aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
        there = {one["LogicalResourceId"] for one in found["StackResources"]}
        assert stack.resources.keys() <= there, stack.name


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_are_made_as_the_application_would_make_them(
    aws: Aws, outputs: dict[str, dict[str, str]], table: Table
) -> None:
    wanted = creation(table, "storekeeper-full-")
    client = aws.client("dynamodb")
    found = client.describe_table(TableName=wanted["TableName"])["Table"]
    assert found["KeySchema"] == wanted["KeySchema"]
    indexes = {
        one["IndexName"]: one["KeySchema"] for one in found.get("GlobalSecondaryIndexes", ())
    }
    assert indexes == {
        one["IndexName"]: one["KeySchema"] for one in wanted.get("GlobalSecondaryIndexes", ())
    }


def test_the_gateway_has_each_route(aws: Aws, outputs: dict[str, dict[str, str]]) -> None:
    client = aws.client("apigatewayv2")
    found: set[str] = set()
    token: dict[str, str] = {}
    while True:
        page = client.get_routes(ApiId=outputs["gateway"]["ApiId"], **token)
        found |= {one["RouteKey"] for one in page["Items"]}
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    assert found == {one.key for one in routes()}


def test_the_role_is_for_what_was_made_and_nothing_else(
    aws: Aws, outputs: dict[str, dict[str, str]]
) -> None:
    """What of that machines call, test_recorded_calls.py says."""
    iam, role = aws.client("iam"), f"storekeeper-full-machine-{REGION}"
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    assert all(one["Effect"] == "Allow" for one in policy["Statement"])
    found = [(one["Action"], one["Resource"], one.get("Condition")) for one in policy["Statement"]]
    assert found == [
        (_one_or_all(one.actions), _one_or_all(one.resources), one.conditions)
        for one in rights(_things(outputs))
    ]


def _one_or_all(of: Sequence[str]) -> str | list[str]:
    return list(of) if len(of) > 1 else of[0]


def _things(outputs: dict[str, dict[str, str]]) -> Things:
    here, prefix = f"{REGION}:{ACCOUNT}", "storekeeper-full-"
    (key,) = (one for one in outputs["notifications"].values() if ":key/" in one)
    log = f"arn:aws:logs:{here}:log-group:/storekeeper/full/shop"
    return Things(
        tables={one: f"arn:aws:dynamodb:{here}:table/{prefix}{one.name}" for one in TABLES},
        topics=[f"arn:aws:sns:{here}:{prefix}{one}" for one in ("orders", "stock")],
        topics_key=key,
        files=f"arn:aws:s3:::{outputs['data']['FilesBucket']}",
        snapshots=folder_of(prefix),
        releases=f"arn:aws:s3:::{outputs['releases']['BucketName']}",
        # Here AWS has ARNs where the engine has names.
        secrets=[f"{prefix}{one}" for one in ("signing-keys", "cache-password", "mail-password")],
        logs=[log, f"{log}:*"],
        namespace="Storekeeper/full",
    )


def test_alarms_topics_and_the_dashboard_are_there(
    aws: Aws, outputs: dict[str, dict[str, str]]
) -> None:
    cloudwatch = aws.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="storekeeper-full-")["MetricAlarms"]
    # Of the shop, around it, and of an update; five are metric math, which the engine refuses.
    assert len(alarms) == 8 + 13 + 2 - 5
    assert cloudwatch.get_dashboard(DashboardName="storekeeper-full-shop")["DashboardBody"]
    pages = aws.client("sns").get_paginator("list_topics").paginate()
    topics = {one["TopicArn"] for page in pages for one in page["Topics"]}
    assert outputs["notifications"]["OrdersTopic"] in topics
    # The engine is other tests' too.
    assert len([one for one in topics if ":storekeeper-full-" in one]) == 4


def test_what_did_not_change_is_left_alone(
    aws: Aws, made: list[Made], outputs: dict[str, dict[str, str]]
) -> None:
    (data,) = (one for one in made if one.part == "data")
    aws.told.clear()
    assert aws.formation.put(data, {}) == outputs["data"]
    assert aws.told == ["storekeeper-full-data: as it was"]


def test_an_update_that_would_lose_data_is_refused(
    aws: Aws, made: list[Made], outputs: dict[str, dict[str, str]]
) -> None:
    (data,) = (one for one in made if one.part == "data")
    renamed = data._replace(template=data.template.replace('"UsersTable"', '"PeopleTable"'))
    with pytest.raises(DeploymentError, match=r"would remove or make anew .*UsersTable"):
        aws.formation.put(renamed, {})
    tables = aws.client("dynamodb").list_tables()["TableNames"]
    assert "storekeeper-full-users" in tables


def test_a_stack_that_fails_is_told_with_its_cause(aws: Aws, made: list[Made]) -> None:
    (monitoring,) = (one for one in made if one.part == "monitoring")
    orphan = monitoring._replace(
        name="orphan", template=monitoring.template.replace("storekeeper-full-gateway:", "gone:")
    )
    with pytest.raises(DeploymentError, match=r"orphan is ROLLBACK_COMPLETE: .*gone"):
        aws.formation.put(orphan, {})


def test_an_update_of_machines_is_taken_back_by_their_alarms(
    outputs: dict[str, dict[str, str]],
) -> None:
    named = [{"OutputKey": "RollbackAlarms", "OutputValue": outputs["compute"]["RollbackAlarms"]}]
    rollback = rollback_of({"Outputs": named})["RollbackConfiguration"]
    assert len(rollback["RollbackTriggers"]) == 2
    assert rollback["MonitoringTimeInMinutes"] > 0
    assert rollback_of({"Outputs": []}) == {}


def test_the_list_of_what_the_engine_lacks_is_no_longer_than_it_must_be(
    aws: Aws, assemblies: Path
) -> None:
    client = aws.client("cloudformation")
    lacking = set()
    for stack in stacks(assemblies / "full"):
        try:
            client.validate_template(TemplateBody=stack.template)
            client.create_change_set(
                StackName=f"try-{stack.part}",
                ChangeSetName="try",
                ChangeSetType="CREATE",
                TemplateBody=stack.template,
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
        except botocore.exceptions.ClientError as error:
            text = str(error).partition("Unrecognized resource types: [")[2]
            lacking |= {one.strip(" ]") for one in text.split(",") if one}
    assert lacking == UNKNOWN
