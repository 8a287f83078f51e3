"""Orders and products as files in S3, each night, for analysis: read from point-in-time recovery,
so that no request of the shop notices."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from deploy.aws.stacks.base import Stack, accept_wildcards, bucket_arn
from storekeeper.store.dynamodb.tables import ORDERS, PRODUCTS, Table

HOUR_UTC = 2


class Exports(Construct):
    """A schedule for each table, and the role that they share."""

    def __init__(
        self, scope: Stack, tables: Mapping[Table, dynamodb.CfnTable], bucket: s3.Bucket
    ) -> None:
        super().__init__(scope, "NightlyExports")
        arns = {table: tables[table].attr_arn for table in (ORDERS, PRODUCTS)}
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["dynamodb:ExportTableToPointInTime"], resources=list(arns.values())
            )
        )
        objects = f"{bucket_arn(scope.bucket_name('exports'))}/*"
        role.add_to_policy(
            iam.PolicyStatement(
                # PutObjectAcl: the export says that the bucket's owner has each object.
                actions=["s3:PutObject", "s3:PutObjectAcl", "s3:AbortMultipartUpload"],
                resources=[objects],
            )
        )
        accept_wildcards(role, [objects], "Any object of the exports' own bucket.")
        for table, arn in arns.items():
            scheduler.CfnSchedule(
                self,
                table.name.capitalize(),
                schedule_expression=f"cron(0 {HOUR_UTC} * * ? *)",
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                    mode="FLEXIBLE", maximum_window_in_minutes=30
                ),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn="arn:aws:scheduler:::aws-sdk:dynamodb:exportTableToPointInTime",
                    role_arn=role.role_arn,
                    input=cdk.Stack.of(self).to_json_string(
                        {"TableArn": arn, "S3Bucket": bucket.bucket_name, "S3Prefix": table.name}
                    ),
                ),
            )
