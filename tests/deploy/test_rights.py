"""A machine may do what the shop does, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from deploy.aws.rights import MACHINE_NAMESPACE
from storekeeper.store.dynamodb.rights import OF_LOG, OF_VIEWS
from storekeeper.store.dynamodb.tables import TABLES, Table
from tests.deploy.templates import Assembly
from tests.support.processes import ROOT

# Beside the tables: what docs/dynamodb.md, sns.md and cloudwatch.md list for `serve`.
OF_SHOP = {
    "sns:Publish",
    "sns:GetTopicAttributes",
    "kms:GenerateDataKey",
    "kms:Decrypt",
    "s3:ListBucket",
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "cloudwatch:PutMetricData",
}
# Beside the shop: its log, its keys, and operators' way in.
OF_MACHINE = {
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
    "secretsmanager:GetSecretValue",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}


def statements(assembly: Assembly) -> list[dict[str, Any]]:
    policy = assembly.the("permissions", "IAM::Policy")
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def actions(statement: dict[str, Any]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


def of_table(assembly: Assembly, table: Table) -> set[str]:
    name = f"{table.name.capitalize()}Table"
    return set().union(
        *(actions(one) for one in statements(assembly) if name in json.dumps(one["Resource"]))
    )


def test_each_table_is_used_as_the_application_uses_it(full: Assembly) -> None:
    for table in TABLES:
        wanted = {*OF_LOG.get(table, ()), *OF_VIEWS.get(table, ()), "DescribeTable"}
        assert of_table(full, table) == {f"dynamodb:{action}" for action in wanted}


def test_there_is_no_other_action(full: Assembly) -> None:
    found = set().union(*map(actions, statements(full)))
    assert {one for one in found if not one.startswith("dynamodb:")} == OF_SHOP | OF_MACHINE
    assert not [one for one in found if "*" in one]
    assert {one["Effect"] for one in statements(full)} == {"Allow"}


def test_only_what_has_no_resources_is_allowed_on_all(full: Assembly) -> None:
    on_all = [one for one in statements(full) if one["Resource"] == "*"]
    assert sorted(len(actions(one)) for one in on_all) == [1, 5]
    (figures,) = (one for one in on_all if "cloudwatch:PutMetricData" in actions(one))
    names = figures["Condition"]["StringEquals"]["cloudwatch:namespace"]
    assert names == ["Storekeeper/full", MACHINE_NAMESPACE]


def test_objects_are_those_of_the_shop_alone(full: Assembly) -> None:
    text = json.dumps([one for one in statements(full) if "s3:" in json.dumps(one["Action"])])
    assert "/images/*" in text
    assert "/storekeeper-full-snapshots/*" in text
    assert "/releases/*" in text
    assert "-exports-" not in text
    assert "-access-logs-" not in text


def test_the_documents_name_each_of_the_shops_actions() -> None:
    """Who sets up a role by hand reads them there."""
    text = "".join(
        (ROOT / "docs" / name).read_text() for name in ("dynamodb.md", "sns.md", "cloudwatch.md")
    )
    for action in OF_SHOP:
        assert action.partition(":")[2] in text, action
