"""What an update of a protected shop adds, on the local engine: it is taken back when the update fails,
and refuses to be deleted when it is through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.aws.assembly import Made
from deploy.aws.deploying import DeploymentError, Formation
from tests.deploy.engine import Aws
from tests.deploy.switches import folder_of

NAME = "storekeeper-guarded"


@pytest.fixture(scope="module")
def aws() -> Aws:
    return Aws()


@pytest.fixture
def one_table(aws: Aws, assemblies: Path) -> Made:
    """A stack with the users' table alone, as `data` has it."""
    (data,) = (one for one in aws.known(folder_of(assemblies, "on")) if one.part == "data")
    template = json.loads(data.template)
    table = template["Resources"]["UsersTable"]
    table["Properties"]["TableName"] = f"{NAME}-users"
    kept = {"Resources": {"UsersTable": table}}
    kept |= {name: template[name] for name in ("Parameters", "Conditions")}
    return data._replace(name=NAME, template=json.dumps(kept))


def with_more(stack: Made, **resources: dict[str, Any]) -> Made:
    template = json.loads(stack.template)
    template["Resources"] |= resources
    return stack._replace(template=json.dumps(template))


def test_a_table_that_an_update_adds_is_taken_back_with_it_and_guarded_after_it(
    aws: Aws, one_table: Made
) -> None:
    dynamodb, client = aws.client("dynamodb"), aws.client("cloudformation")
    formation = Formation(client, aws.told.append, poll_seconds=0.02)
    sent: list[str] = []
    client.meta.events.register(
        "provide-client-params.cloudformation.CreateChangeSet",
        lambda params, **_: sent.append(params["TemplateBody"]),
    )

    def tables() -> dict[str, bool]:
        """Those that are there; whether each refuses to be deleted."""
        names = [one for one in dynamodb.list_tables()["TableNames"] if one.startswith(NAME)]
        found = [dynamodb.describe_table(TableName=one)["Table"] for one in names]
        return {one["TableName"]: one["DeletionProtectionEnabled"] for one in found}

    users, more = f"{NAME}-users", f"{NAME}-more"
    formation.put(one_table, {})
    assert tables() == {users: True}
    there = json.loads(one_table.template)["Resources"]["UsersTable"]
    added = {**there, "Properties": {**there["Properties"], "TableName": more}}
    # Fails when the new table is there already.
    broken = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"DisplayName": {"Fn::ImportValue": "nobody-exports-this"}},
        "DependsOn": ["MoreTable"],
    }
    with pytest.raises(DeploymentError, match=f"{NAME} is UPDATE_ROLLBACK_COMPLETE: Broken"):
        formation.put(with_more(one_table, MoreTable=added, Broken=broken), {})
    assert tables() == {users: True}
    # The engine would have deleted a guarded table too; CloudFormation can't.
    tried = json.loads(sent[-1])["Resources"]
    assert tried["MoreTable"]["Properties"]["DeletionProtectionEnabled"] is False
    assert tried["UsersTable"] == there
    formation.put(with_more(one_table, MoreTable=added), {})
    assert tables() == {users: True, more: True}
