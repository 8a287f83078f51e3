"""What AWS would say of a call: the rights that it needs, and whether a policy grants them.

As much of IAM as the machines' role uses: statements that allow, with names and patterns of resources,
and `StringEquals` of a metric's namespace. Anything else raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

# Of the topics, which are encrypted: whoever publishes uses it (SNS, "Key management").
TOPICS_KEY = "arn:aws:kms:eu-west-1:000000000000:key/topics"
_S3_OBJECT = {
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "PutObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "DeleteObject": "DeleteObject",
}
_S3_BUCKET = {"ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket"}
_OF_TOPICS = {"PublishBatch": "Publish", "Publish": "Publish"}


class Need(NamedTuple):
    """A right. `namespace`: of the metrics, where they are that."""

    action: str
    resource: str
    namespace: str = ""


class Grant(NamedTuple):
    """One action on one resource or pattern, as a policy gives it."""

    action: str
    resource: str
    namespaces: frozenset[str] = frozenset()

    def allows(self, need: Need) -> bool:
        return (
            self.action.lower() == need.action.lower()
            and bool(_pattern(self.resource).fullmatch(need.resource))
            and (not self.namespaces or bool(_any_of(self.namespaces).fullmatch(need.namespace)))
        )

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


def needs(service: str, operation: str, given: Mapping[str, Any]) -> list[Need]:
    """The rights that a call with these parameters needs; raises `KeyError` for one that nobody has
    looked up in AWS's Service Authorization Reference yet."""
    match service:
        case "dynamodb":
            table = f"arn:aws:dynamodb:eu-west-1:000000000000:table/{given['TableName']}"
            index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
            return [Need(f"dynamodb:{operation}", table + index)]
        case "s3" if operation in _S3_BUCKET:
            return [Need(f"s3:{_S3_BUCKET[operation]}", f"arn:aws:s3:::{given['Bucket']}")]
        case "s3":
            name = f"arn:aws:s3:::{given['Bucket']}/{given['Key']}"
            return [Need(f"s3:{_S3_OBJECT[operation]}", name)]
        case "sns" if operation in _OF_TOPICS:
            published = Need(f"sns:{_OF_TOPICS[operation]}", given["TopicArn"])
            keys = [Need(f"kms:{one}", TOPICS_KEY) for one in ("GenerateDataKey", "Decrypt")]
            return [published, *keys]
        case "sns" if operation == "GetTopicAttributes":
            return [Need("sns:GetTopicAttributes", given["TopicArn"])]
        case "cloudwatch" if operation == "PutMetricData":
            return [Need("cloudwatch:PutMetricData", "*", given["Namespace"])]
        case "secretsmanager" if operation == "GetSecretValue":
            return [Need("secretsmanager:GetSecretValue", given["SecretId"])]
        case "sts" if operation == "GetCallerIdentity":
            return []  # nobody can be forbidden to ask who they are
    raise KeyError(f"{service}:{operation}")


def grants(statements: Iterable[Mapping[str, Any]]) -> list[Grant]:
    """All that the statements of a policy allow."""
    found = []
    for statement in statements:
        if statement["Effect"] != "Allow" or statement.keys() - _KNOWN:
            raise ValueError(f"only what allows is understood: {statement}")
        names = frozenset(_namespaces(statement.get("Condition", {})))
        found += [
            Grant(action, resource, names)
            for action in _list(statement["Action"])
            for resource in _list(statement["Resource"])
        ]
    return found


_KNOWN = {"Sid", "Effect", "Action", "Resource", "Condition"}


def _namespaces(condition: Mapping[str, Any]) -> list[str]:
    if not condition:
        return []
    ((operator, keys),) = condition.items()
    ((key, names),) = keys.items()
    if (operator, key) != ("StringEquals", "cloudwatch:namespace"):
        raise ValueError(f"a condition that isn't understood: {condition}")
    return _list(names)


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """`*` is any text and `?` any letter, of slashes and colons too."""
    return re.compile("".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in text))


@cache
def _any_of(names: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(_pattern(one).pattern for one in sorted(names)))
