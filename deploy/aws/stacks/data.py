"""What must not be lost: the application's tables, their backups, and buckets for files.

Tables are made from the application's own definition; nothing of it is written here again.
"""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.aws import machines
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept
from deploy.aws.stacks.exports import Exports
from deploy.aws.stacks.network import retention
from storekeeper.store.dynamodb.tables import COMMITS, TABLES, Table, creation

BACKUP_DAYS = 35
LOG_FILE_DAYS = 90


class Data(Stack):
    """The tables, the vault with their daily backups, and the buckets."""

    def __init__(self, scope: Construct, given: Environment) -> None:
        super().__init__(scope, "data", given, about="tables, backups, files, log")
        self.tables = {table: self._table(table) for table in TABLES}
        self.access_logs = self._bucket("AccessLogs", days=LOG_FILE_DAYS)
        accept(self.access_logs, "AwsSolutions-S1", "It is where access logs go; none of its own.")
        _allow_balancer_logs(self.access_logs)
        self.files = self._bucket("Files", logged=True)
        self._back_up()
        logs.LogGroup(
            self,
            "ShopLog",
            log_group_name=machines.log_group(given),
            retention=retention(given),
            removal_policy=self.kept,
        )
        # The bucket stays when exports are switched off: what is in it goes by its age.
        exported = self._bucket("Exports", logged=True, days=LOG_FILE_DAYS)
        if given.exports:
            Exports(self, self.tables, exported)
        self.output("FilesBucket", self.files.bucket_name, "snapshots and pictures of products")

    def _table(self, table: Table) -> dynamodb.CfnTable:
        """As the application's `creation` says, in the words of CloudFormation."""
        wanted = creation(table, self.given.prefix)
        made = dynamodb.CfnTable(
            self,
            f"{table.name.capitalize()}Table",
            table_name=wanted["TableName"],
            billing_mode=wanted["BillingMode"],
            key_schema=_keys(wanted["KeySchema"]),
            attribute_definitions=[
                dynamodb.CfnTable.AttributeDefinitionProperty(
                    attribute_name=one["AttributeName"], attribute_type=one["AttributeType"]
                )
                for one in wanted["AttributeDefinitions"]
            ],
            global_secondary_indexes=[_index(one) for one in _indexes_of(wanted)] or None,
            time_to_live_specification=_expiry(table),
            point_in_time_recovery_specification=(
                dynamodb.CfnTable.PointInTimeRecoverySpecificationProperty(
                    point_in_time_recovery_enabled=True
                )
            ),
            sse_specification=dynamodb.CfnTable.SSESpecificationProperty(sse_enabled=True),
            deletion_protection_enabled=self.guarded(True, False),
        )
        made.apply_removal_policy(self.kept)
        return made

    def _bucket(self, name: str, *, logged: bool = False, days: int | None = None) -> s3.Bucket:
        """A private one, without versions: what the shop erases has to be gone."""
        broken_off = cdk.Duration.days(7)
        return s3.Bucket(
            self,
            name,
            bucket_name=self.bucket_name(_dashed(name)),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            removal_policy=self.kept,
            server_access_logs_bucket=self.access_logs if logged else None,
            server_access_logs_prefix=f"s3/{_dashed(name)}/" if logged else None,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=broken_off,
                    expiration=cdk.Duration.days(days) if days else None,
                )
            ],
        )

    def _back_up(self) -> None:
        """The log alone: the other tables are made from it."""
        vault = backup.CfnBackupVault(
            self, "Vault", backup_vault_name=f"{self.given.prefix}backups"
        )
        vault.apply_removal_policy(self.kept)
        plan = backup.CfnBackupPlan(
            self,
            "BackupPlan",
            backup_plan=backup.CfnBackupPlan.BackupPlanResourceTypeProperty(
                backup_plan_name=f"{self.given.prefix}daily",
                backup_plan_rule=[
                    backup.CfnBackupPlan.BackupRuleResourceTypeProperty(
                        rule_name="daily",
                        target_backup_vault=vault.ref,
                        schedule_expression="cron(0 3 * * ? *)",
                        lifecycle=backup.CfnBackupPlan.LifecycleResourceTypeProperty(
                            delete_after_days=BACKUP_DAYS
                        ),
                    )
                ],
            ),
        )
        backup.CfnBackupSelection(
            self,
            "BackupSelection",
            backup_plan_id=plan.ref,
            backup_selection=backup.CfnBackupSelection.BackupSelectionResourceTypeProperty(
                selection_name="log",
                iam_role_arn=self._role_of_backup("Backup").role_arn,
                resources=[self.tables[COMMITS].attr_arn],
            ),
        )

        restore = self._role_of_backup("Restores")
        self.output("RestoreRole", restore.role_arn, "what AWS Backup restores the log with")

    def _role_of_backup(self, task: str) -> iam.Role:
        """For AWS Backup; to restore it takes another than each day's, which can't write."""
        name = f"service-role/AWSBackupServiceRolePolicyFor{task}"
        role = iam.Role(
            self,
            f"{task}Role",
            assumed_by=iam.ServicePrincipal("backup.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name)],
        )
        accept(
            role,
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]",
            "AWS Backup's own policy, which grows with what the service needs.",
        )
        return role


def _dashed(name: str) -> str:
    return "".join(f"-{one.lower()}" if one.isupper() else one for one in name).lstrip("-")


def _keys(schema: list[dict[str, Any]]) -> list[dynamodb.CfnTable.KeySchemaProperty]:
    return [
        dynamodb.CfnTable.KeySchemaProperty(
            attribute_name=key["AttributeName"], key_type=key["KeyType"]
        )
        for key in schema
    ]


def _indexes_of(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    return list(wanted.get("GlobalSecondaryIndexes", ()))


def _index(wanted: dict[str, Any]) -> dynamodb.CfnTable.GlobalSecondaryIndexProperty:
    shown = wanted["Projection"]
    return dynamodb.CfnTable.GlobalSecondaryIndexProperty(
        index_name=wanted["IndexName"],
        key_schema=_keys(wanted["KeySchema"]),
        projection=dynamodb.CfnTable.ProjectionProperty(
            projection_type=shown["ProjectionType"], non_key_attributes=shown["NonKeyAttributes"]
        ),
    )


def _expiry(table: Table) -> dynamodb.CfnTable.TimeToLiveSpecificationProperty | None:
    if table.ttl is None:
        return None
    return dynamodb.CfnTable.TimeToLiveSpecificationProperty(enabled=True, attribute_name=table.ttl)


def _allow_balancer_logs(bucket: s3.Bucket) -> None:
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[bucket.arn_for_objects(f"balancer/AWSLogs/{cdk.Aws.ACCOUNT_ID}/*")],
        )
    )
