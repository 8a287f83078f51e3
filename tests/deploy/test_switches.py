"""What an environment's file switches on it switches off again, by updates that CloudFormation takes:
in the order of deploying no stack gives up what another still uses, and nothing that holds data goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.aws.assembly import Made, stacks
from deploy.aws.deploying import DATA, deploy
from tests.deploy.engine import Aws
from tests.deploy.switches import SWITCHES, folder_of

OTHERS = [one for one in SWITCHES if one != "on"]
RELEASE = "0" * 64
PREFIX = "storekeeper-switched-"


def exports(stack: Made) -> dict[str, str]:
    found = json.loads(stack.template).get("Outputs", {}).values()
    return {
        one["Export"]["Name"]: json.dumps(one["Value"], sort_keys=True)
        for one in found
        if "Export" in one
    }


def imports(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("Fn::ImportValue"), str):
            yield value["Fn::ImportValue"]
        for one in value.values():
            yield from imports(one)
    elif isinstance(value, list):
        for one in value:
            yield from imports(one)


def missed(before: Sequence[Made], after: Sequence[Made]) -> list[str]:
    """Exports that an update would take away, or change, under a stack that still has its old
    template, or that is left behind for good."""
    there = {one.part: one for one in before}
    found = []
    for stack in after:
        if stack.part in there:
            kept = exports(stack)
            for name, value in exports(there[stack.part]).items():
                users = [
                    part
                    for part, one in there.items()
                    if part != stack.part and name in set(imports(json.loads(one.template)))
                ]
                if users and kept.get(name) != value:
                    found.append(f"{stack.part} takes {name} from {', '.join(users)}")
        there[stack.part] = stack
    return found


@pytest.fixture(scope="module")
def on(assemblies: Path) -> list[Made]:
    return stacks(folder_of(assemblies, "on"))


@pytest.mark.parametrize("switch", OTHERS)
def test_no_stack_takes_away_what_another_still_uses(
    assemblies: Path, on: list[Made], switch: str
) -> None:
    off = stacks(folder_of(assemblies, switch))
    assert missed(on, off) == []
    assert missed(off, on) == []


@pytest.mark.parametrize("switch", OTHERS)
def test_nothing_that_holds_data_is_given_up(assemblies: Path, on: list[Made], switch: str) -> None:
    off = {one.part: one for one in stacks(folder_of(assemblies, switch))}
    for stack in on:
        if stack.part in off:
            gone = stack.resources.keys() - off[stack.part].resources.keys()
            assert not [one for one in gone if stack.resources[one]["Type"] in DATA]


def test_an_export_that_is_taken_from_another_is_noticed(on: list[Made]) -> None:
    """What the tests above count on."""
    (secrets,) = (one for one in on if one.part == "secrets")
    template = json.loads(secrets.template)
    del template["Outputs"]
    bare = secrets._replace(template=json.dumps(template))
    found = missed(on, [bare if one is secrets else one for one in on])
    assert [one for one in found if "MailPassword" in one and "compute" in one]


def test_a_shop_goes_from_on_to_off_and_back_on_the_engine(assemblies: Path) -> None:
    """With the cache's stack removed, and the pool's left with its people."""
    aws = Aws()
    on = aws.known(folder_of(assemblies, "on"))
    off = aws.known(folder_of(assemblies, "all"))
    formation, client = aws.formation, aws.client("cloudformation")

    def put(found: list[Made]) -> dict[str, dict[str, str]]:
        return deploy(formation, found, upload=lambda bucket: RELEASE, prefix_list=aws.prefix_list)

    def there() -> set[str]:
        pages = client.get_paginator("describe_stacks").paginate()
        names = {one["StackName"] for page in pages for one in page["Stacks"]}
        return {one.removeprefix(PREFIX) for one in names if one.startswith(PREFIX)}

    first = put(on)
    assert {"cache", "identity"} <= there() == first.keys()
    assert aws.told[-1] == f"release: {RELEASE} (the hash to go back to it with)"
    put(off)
    (network,) = client.describe_stacks(StackName=f"{PREFIX}network")["Stacks"]
    assert {one["ParameterValue"] for one in network["Parameters"]} == {
        aws.prefix_list("dynamodb"),
        aws.prefix_list("s3"),
    }
    assert there() == first.keys() - {"cache"}
    assert f"{PREFIX}cache: not used any more, removing it" in aws.told
    assert f"{PREFIX}identity: not used any more; it stays, as Pool may hold data" in aws.told
    again = put(on)
    assert there() == first.keys()
    for part, name in (("identity", "UserPool"), ("data", "FilesBucket")):
        assert again[part][name] == first[part][name]
