"""The rights that a call at AWS needs, as the Service Authorization Reference has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Of the topics, which are encrypted: whoever publishes uses it (SNS, "Key management").
TOPICS_KEY = "arn:aws:kms:eu-west-1:000000000000:key/topics"
_OF_OBJECTS = {
    "GetObject": "GetObject",
    "PutObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "DeleteObject": "DeleteObject",
}


class Need(NamedTuple):
    """One action on one resource, by its ARN; `*` where AWS has no resources for it."""

    action: str
    resource: str


def needs(service: str, operation: str, given: Mapping[str, Any]) -> list[Need]:
    """Of a call with these parameters; raises `KeyError` for one that nobody has looked up yet."""
    match service, operation:
        case "dynamodb", _:
            table = f"arn:aws:dynamodb:eu-west-1:000000000000:table/{given['TableName']}"
            index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
            return [Need(f"dynamodb:{operation}", table + index)]
        case "s3", "ListObjectsV2":
            return [Need("s3:ListBucket", f"arn:aws:s3:::{given['Bucket']}")]
        case "s3", _:
            name = f"arn:aws:s3:::{given['Bucket']}/{given['Key']}"
            return [Need(f"s3:{_OF_OBJECTS[operation]}", name)]
        case "sns", "PublishBatch":
            keys = [Need(f"kms:{one}", TOPICS_KEY) for one in ("GenerateDataKey", "Decrypt")]
            return [Need("sns:Publish", given["TopicArn"]), *keys]
        case "sns", "GetTopicAttributes":
            return [Need("sns:GetTopicAttributes", given["TopicArn"])]
        case "cloudwatch", "PutMetricData":
            return [Need("cloudwatch:PutMetricData", "*")]
        case "secretsmanager", "GetSecretValue":
            return [Need("secretsmanager:GetSecretValue", given["SecretId"])]
        case "sts", "GetCallerIdentity":
            return []  # nobody can be forbidden to ask who they are
    raise KeyError(operation)
