"""Shows what a shop wrote to its local engines: tables, messages, metrics, alarms, a token."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError

from tools.aws_local.services import PEOPLE, client

Known = Mapping[str, str]
FILE = "env"
NEWEST = 3
MOST_MESSAGES = 200
LOOK_SECONDS = 60


def read(run: Path) -> dict[str, str]:
    """The environment of a run, as `run` has written it."""
    lines = (run / FILE).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def show(run: Path, what: str) -> int:
    try:
        known = read(run)
    except OSError:
        print(f"{run} is no run that goes on; it has ended, or has another name", file=sys.stderr)
        return 1
    try:
        WAYS[what](known)
    except BotoCoreError as error:
        print(f"the engine can't be asked: {error}", file=sys.stderr)
        return 1
    return 0


def tables(known: Known) -> None:
    """How much each table holds, and what its newest items are called."""
    dynamodb = client("dynamodb", known)
    for name in dynamodb.list_tables()["TableNames"]:
        keys = [key["AttributeName"] for key in _described(dynamodb, name)["KeySchema"]]
        found: list[tuple[Any, ...]] = []
        for page in dynamodb.get_paginator("scan").paginate(TableName=name):
            for item in page["Items"]:
                size = len(json.dumps(item, default=repr))
                found.append((*(_plain(item[key]) for key in keys), size))
        print(f"{name}: {len(found):,} items, {sum(one[-1] for one in found):,} characters")
        for *key, size in sorted(found)[-NEWEST:]:
            told = ", ".join(f"{n} = {value}" for n, value in zip(keys, key, strict=True))
            print(f"  {told} ({size:,} characters)")


def messages(known: Known) -> None:
    """What the topics published, as the queue that is subscribed to them got it. It stays there."""
    sqs, queue = client("sqs", known), known["LOCAL_QUEUE_URL"]
    seen: list[dict[str, Any]] = []
    while len(seen) < MOST_MESSAGES:
        answer = sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            VisibilityTimeout=LOOK_SECONDS,
            MessageAttributeNames=["All"],
        )
        if not answer.get("Messages"):
            break
        seen += answer["Messages"]
    for one in seen:
        attributes = one.get("MessageAttributes", {})
        print(json.dumps({name: value.get("StringValue") for name, value in attributes.items()}))
        print(f"  {one['Body']}")
        # The next look sees it again, at once.
        sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0
        )
    print(f"{len(seen)} messages")


def metrics(known: Known) -> None:
    """The sum of each metric over the last hour, and how often it was told."""
    cloudwatch = client("cloudwatch", known)
    now = datetime.now(UTC)
    for page in cloudwatch.get_paginator("list_metrics").paginate():
        for one in page["Metrics"]:
            points = cloudwatch.get_metric_statistics(
                Namespace=one["Namespace"],
                MetricName=one["MetricName"],
                Dimensions=one["Dimensions"],
                StartTime=now - timedelta(hours=1),
                EndTime=now + timedelta(minutes=1),
                Period=3_600,
                Statistics=["Sum", "SampleCount"],
            )["Datapoints"]
            dimensions = ", ".join(f"{d['Name']}={d['Value']}" for d in one["Dimensions"])
            total = sum(point["Sum"] for point in points)
            count = sum(point["SampleCount"] for point in points)
            print(f"{one['Namespace']} {one['MetricName']}{{{dimensions}}}: {total:g} ({count:g}x)")


def alarms(known: Known) -> None:
    """The state of each alarm, and why it has it."""
    found = client("cloudwatch", known).describe_alarms()["MetricAlarms"]
    for one in found:
        print(f"{one['AlarmName']}: {one['StateValue']} ({one.get('StateReason', '')})")


def tokens(known: Known) -> None:
    """An access token of everybody in the user pool, good for an hour."""
    cognito = client("cognito-idp", known)
    for name, group in PEOPLE.items():
        result = cognito.initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=known["STOREKEEPER_COGNITO_CLIENT_IDS"],
            AuthParameters={"USERNAME": name, "PASSWORD": known["LOCAL_POOL_PASSWORD"]},
        )["AuthenticationResult"]
        print(f"{name} ({group or 'in no group'}):\n{result['AccessToken']}\n")


WAYS: dict[str, Callable[[Known], None]] = {
    "alarms": alarms,
    "messages": messages,
    "metrics": metrics,
    "tables": tables,
    "tokens": tokens,
}


def _described(dynamodb: Any, name: str) -> Any:
    return dynamodb.describe_table(TableName=name)["Table"]


def _plain(value: dict[str, Any]) -> Any:
    """A key's value without its type."""
    kind, plain = next(iter(value.items()))
    return int(plain) if kind == "N" else plain
