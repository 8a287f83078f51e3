"""What a machine's role may do: one definition, each with what it is for.

What the shop does with its tables is the application's own list (`store.dynamodb.rights`). That a
machine is ready `cfn-signal` says without the role: as a machine of the stack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from storekeeper.media.s3 import FOLDER
from storekeeper.store.dynamodb.rights import OF_LOG, OF_VIEWS
from storekeeper.store.dynamodb.tables import TABLES, Table


class Right(NamedTuple):
    """`actions` on `resources`, where the `conditions` hold."""

    purpose: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Any] | None = None


class Things(NamedTuple):
    """ARNs of what an environment has."""

    tables: Mapping[Table, str]
    topics: Sequence[str]
    topics_key: str
    files: str
    snapshots: str
    releases: str
    secrets: Sequence[str]
    logs: Sequence[str]
    namespace: str


MACHINE_NAMESPACE = "Storekeeper/machines"
# Session Manager's, by which operators come in; AWS has no resources for them.
_SESSION = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


def rights(of: Things) -> list[Right]:
    """All of a machine's."""
    return [*_of_tables(of.tables), *_of_shop(of), *_of_machine(of)]


def _of_tables(arns: Mapping[Table, str]) -> Iterator[Right]:
    yield Right("tables are looked at", ["dynamodb:DescribeTable"], [arns[one] for one in TABLES])
    wanted: defaultdict[Table, list[str]] = defaultdict(list)
    for some in (OF_LOG, OF_VIEWS):
        for table, actions in some.items():
            wanted[table] += [f"dynamodb:{action}" for action in actions]
    for table, allowed in wanted.items():
        yield Right(table.purpose, allowed, [arns[table]])


def _of_shop(of: Things) -> Iterator[Right]:
    yield Right("events are published", ["sns:Publish", "sns:GetTopicAttributes"], of.topics)
    yield Right("they are encrypted", ["kms:GenerateDataKey", "kms:Decrypt"], [of.topics_key])
    whole = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    yield Right("files are looked for", ["s3:ListBucket"], [of.files])
    yield Right("pictures of products", whole, [f"{of.files}/{FOLDER}*"])
    yield Right(
        "snapshots for new machines",
        [*whole, "s3:AbortMultipartUpload"],
        [f"{of.files}/{of.snapshots}*"],
    )
    yield Right(
        "figures of the shop and of the machine",
        ["cloudwatch:PutMetricData"],
        ["*"],
        {"StringEquals": {"cloudwatch:namespace": [of.namespace, MACHINE_NAMESPACE]}},
    )


def _of_machine(of: Things) -> Iterator[Right]:
    yield Right("its release", ["s3:GetObject"], [f"{of.releases}/releases/*"])
    yield Right("its keys", ["secretsmanager:GetSecretValue"], of.secrets)
    yield Right(
        "its log",
        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        of.logs,
    )
    yield Right("operators come in", _SESSION, ["*"])
