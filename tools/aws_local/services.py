"""What a shop on AWS finds there, made on the local engines: topics, a queue, alarms, a pool."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session

from storekeeper.telemetry.alarms import alarms

NAMESPACE = "Storekeeper"
# Between two sendings of figures: somebody waits to see them.
FIGURES_SECONDS = 5
GROUPS = {"admins": "admin", "clerks": "staff"}
# Who is in the pool, and in which of its groups.
PEOPLE = {"grace": "admins", "sam": "clerks", "ada": ""}


@dataclass(frozen=True)
class Made:
    """`settings`: those of a shop that uses it all; `known`: what looking at it needs."""

    settings: Mapping[str, str]
    known: Mapping[str, str]


def client(service: str, environment: Mapping[str, str]) -> Any:
    """A client of the engine that the environment of the shop names."""
    endpoint = environment.get(
        f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", environment["AWS_ENDPOINT_URL"]
    )
    return _session().create_client(
        service,
        region_name=environment["AWS_REGION"],
        endpoint_url=endpoint,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


@cache
def _session() -> botocore.session.Session:
    """Reads AWS's descriptions of its services, most of the work of opening a client, only once."""
    return botocore.session.Session()


def make(environment: Mapping[str, str]) -> Made:
    """Everything beside the tables, which the shop makes itself."""
    topics, queue = _make_topics(environment)
    _make_alarms(environment, topics["alarms"])
    pool, client_id, password = _make_pool(environment)
    return Made(
        settings={
            "sns_orders_topic": topics["orders"],
            "sns_stock_topic": topics["stock"],
            "cloudwatch_namespace": NAMESPACE,
            "cloudwatch_seconds": str(FIGURES_SECONDS),
            "cognito_user_pool_id": pool,
            "cognito_client_ids": client_id,
            "cognito_groups": ",".join(f"{group}={role}" for group, role in GROUPS.items()),
            "cognito_jwks_url": (f"{environment['AWS_ENDPOINT_URL']}/{pool}/.well-known/jwks.json"),
        },
        known={"LOCAL_QUEUE_URL": queue, "LOCAL_POOL_PASSWORD": password},
    )


def _make_topics(environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The topics by what they are for, and the queue that gets what they publish."""
    sns, sqs = client("sns", environment), client("sqs", environment)
    queue = sqs.create_queue(QueueName="storekeeper-seen")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    topics = {}
    for name in ("orders", "stock", "alarms"):
        topics[name] = sns.create_topic(Name=f"storekeeper-{name}")["TopicArn"]
        sns.subscribe(
            TopicArn=topics[name],
            Protocol="sqs",
            Endpoint=asked["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )
    return topics, queue


def _make_alarms(environment: Mapping[str, str], topic: str) -> None:
    """Those that the shop's deployment makes."""
    cloudwatch = client("cloudwatch", environment)
    for alarm in alarms(NAMESPACE, topics=[topic]):
        cloudwatch.put_metric_alarm(**alarm)


def _make_pool(environment: Mapping[str, str]) -> tuple[str, str, str]:
    """The user pool's id, that of its app client, and the password of everybody in it."""
    cognito = client("cognito-idp", environment)
    pool = cognito.create_user_pool(PoolName="storekeeper")["UserPool"]["Id"]
    made = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="shop",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )
    password = f"Local-{secrets.token_urlsafe(12)}-1"
    for group in GROUPS:
        cognito.create_group(UserPoolId=pool, GroupName=group)
    for name, group in PEOPLE.items():
        cognito.admin_create_user(
            UserPoolId=pool,
            Username=name,
            MessageAction="SUPPRESS",
            UserAttributes=[
                {"Name": "email", "Value": f"{name}@example.com"},
                {"Name": "email_verified", "Value": "true"},
            ],
        )
        cognito.admin_set_user_password(
            UserPoolId=pool, Username=name, Password=password, Permanent=True
        )
        if group:
            cognito.admin_add_user_to_group(UserPoolId=pool, Username=name, GroupName=group)
    return pool, made["UserPoolClient"]["ClientId"], password
