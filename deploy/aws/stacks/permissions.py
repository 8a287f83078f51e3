"""The role of machines: exactly what `deploy.aws.rights` lists."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.aws import machines
from deploy.aws.rights import Things, rights
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept_wildcards, bucket_arn
from deploy.aws.stacks.data import Data
from deploy.aws.stacks.notifications import Notifications
from deploy.aws.stacks.releases import Releases
from deploy.aws.stacks.secrets import Secrets


class Permissions(Stack):
    """The role and its profile."""

    def __init__(
        self,
        scope: Construct,
        given: Environment,
        *,
        data: Data,
        notifications: Notifications,
        secrets: Secrets,
        releases: Releases,
    ) -> None:
        super().__init__(scope, "permissions", given, about="what machines may do")
        here = f"{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}"
        things = Things(
            tables={table: made.attr_arn for table, made in data.tables.items()},
            topics=[notifications.orders.topic_arn, notifications.stock.topic_arn],
            topics_key=notifications.key.key_arn,
            files=bucket_arn(data.bucket_name("files")),
            snapshots=f"{given.prefix}snapshots/",
            releases=bucket_arn(releases.bucket_name("releases")),
            secrets=[
                one.ref for one in (secrets.signing, secrets.cache_password, secrets.mail_password)
            ],
            logs=[
                f"arn:{cdk.Aws.PARTITION}:logs:{here}:log-group:{machines.log_group(given)}",
                f"arn:{cdk.Aws.PARTITION}:logs:{here}:log-group:{machines.log_group(given)}:*",
            ],
            namespace=given.namespace,
        )
        role = iam.Role(
            self,
            "MachineRole",
            role_name=f"{given.prefix}machine-{given.region}",
            description=f"What machines of Storekeeper {given.name} may do",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
        )
        for right in rights(things):
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=list(right.actions),
                    resources=list(right.resources),
                    conditions=dict(right.conditions or {}) or None,
                )
            )
        accept_wildcards(
            role,
            [one for right in rights(things) for one in right.resources if one.endswith("*")],
            "Objects and streams under names of the shop's own; PutMetricData is held to its "
            "namespaces by a condition, and Session Manager's actions have no resources.",
        )
        self.role = role
        self.profile = iam.CfnInstanceProfile(
            self, "MachineProfile", roles=[role.role_name], instance_profile_name=role.role_name
        )
