"""Templates as far as the local engine can make them: what it can't is left out, by a list.

What it takes and doesn't keep: time to live and recovery of tables, keys of topics, alarms that stack
updates watch.
"""

from __future__ import annotations

import functools
import json
import uuid
from pathlib import Path
from typing import Any

import botocore.session

from deploy.aws.account import prefix_list
from deploy.aws.assembly import Made, stacks
from deploy.aws.deploying import Formation
from tests.support.local_engines import url
from tools.engines.launch import CREDENTIALS

# Types that ministack doesn't know; a test tells when one of them can go.
UNKNOWN = frozenset(
    {
        "AWS::ApiGatewayV2::VpcLink",
        "AWS::Backup::BackupSelection",
        "AWS::CloudWatch::AnomalyDetector",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::EC2::EIP",
        "AWS::EC2::FlowLog",
        "AWS::EC2::InstanceConnectEndpoint",
        "AWS::EC2::NatGateway",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::ElastiCache::ServerlessCache",
        "AWS::SecretsManager::RotationSchedule",
        "AWS::WAFv2::WebACLAssociation",
    }
)
STAND_IN = "not-made-here"


ZONE = "Z0123456789ABCDEFGHIJ"


class Aws:
    """The engine, as clients and the deployment see it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.formation = Formation(
            self.client("cloudformation"), self.told.append, poll_seconds=0.02
        )

    def client(self, service: str) -> Any:
        return botocore.session.get_session().create_client(
            service,
            region_name=CREDENTIALS["AWS_REGION"],
            endpoint_url=url("ministack"),
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def prefix_list(self, service: str) -> str:
        return prefix_list(self.client("ec2"), service)

    def known(self, folder: Path) -> list[Made]:
        """The stacks of an assembly as far as they can be made here."""
        reduced = [known(one) for one in stacks(folder)]
        return [one._replace(template=one.template.replace(ZONE, self.zone)) for one in reduced]

    @functools.cached_property
    def zone(self) -> str:
        """For the domain; an operator has it before there is a shop."""
        made = self.client("route53").create_hosted_zone(
            Name="example.com", CallerReference=str(uuid.uuid4())
        )
        return str(made["HostedZone"]["Id"]).rpartition("/")[2]


def known(stack: Made) -> Made:
    """The stack without what isn't known; what refers to it gets a stand-in."""
    template = json.loads(stack.template)
    resources = template["Resources"]
    left_out = {name for name, one in resources.items() if not _is_known(one)}
    template["Resources"] = {
        name: _without(one, left_out) for name, one in resources.items() if name not in left_out
    }
    template["Outputs"] = _without(template.get("Outputs", {}), left_out)
    return stack._replace(template=json.dumps(template))


def _is_known(resource: dict[str, Any]) -> bool:
    """Metric math is what it doesn't compute, so alarms on it aren't taken either."""
    kind = resource["Type"]
    is_computed = kind == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return kind not in UNKNOWN and not is_computed


def _without(value: Any, left_out: set[str]) -> Any:
    if isinstance(value, list):
        return [_without(one, left_out) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("Ref") in left_out:
        return STAND_IN
    match value.get("Fn::GetAtt"):
        case [name, _] if name in left_out:
            return STAND_IN
    found = {name: _without(one, left_out) for name, one in value.items()}
    if isinstance(found.get("DependsOn"), list):
        found["DependsOn"] = [one for one in found["DependsOn"] if one not in left_out]
    return found
