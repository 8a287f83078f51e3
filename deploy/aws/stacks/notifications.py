"""Topics: what happens to orders, stock that runs low, and what operators have to know."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept

CLOUDWATCH = iam.ServicePrincipal("cloudwatch.amazonaws.com")
OF_ACCOUNT = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}


class Notifications(Stack):
    """Four topics under one key, and a queue for what couldn't be delivered."""

    def __init__(self, scope: Construct, given: Environment) -> None:
        super().__init__(scope, "notifications", given, about="topics and their subscriptions")
        self.key = self._key()
        self.undelivered = self._queue()
        self.orders = self._topic("orders", "Orders of the shop", ())
        self.stock = self._topic("stock", "Stock that runs low", given.operators)
        self.operations = self._topic("operations", "Alarms of the shop", given.operators)
        self.pages = self._topic("pages", "The shop needs somebody now", given.woken)
        for topic in (self.operations, self.pages):
            topic.add_to_resource_policy(_alarms_publish(topic))
        self.output("OrdersTopic", self.orders.topic_arn, "subscribe queues and functions here")
        self.output("OperationsTopic", self.operations.topic_arn, "every alarm")

    def _key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            alias=f"alias/{self.given.prefix}topics",
            description="Messages of the shop's topics while they are under way",
            enable_key_rotation=True,
            removal_policy=self.kept,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:Decrypt"],
                resources=["*"],
                conditions=OF_ACCOUNT,
            )
        )
        # Without a condition: what CloudWatch says of itself to KMS isn't documented, and an alarm
        # that may not use the key is silent. The topics take messages of this account alone.
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[CLOUDWATCH],
                actions=["kms:GenerateDataKey*", "kms:Decrypt"],
                resources=["*"],
            )
        )
        return key

    def _queue(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "Undelivered",
            queue_name=f"{self.given.prefix}undelivered",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self.key,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
            removal_policy=self.kept,
        )
        accept(queue, "AwsSolutions-SQS3", "It is itself the queue for dead letters.")
        return queue

    def _topic(self, name: str, title: str, told: Sequence[str]) -> sns.Topic:
        topic = sns.Topic(
            self,
            f"{name.capitalize()}Topic",
            topic_name=f"{self.given.prefix}{name}",
            display_name=title,
            master_key=self.key,
            enforce_ssl=True,
            signature_version="2",
        )
        for address in told:
            topic.add_subscription(
                subscriptions.EmailSubscription(address, dead_letter_queue=self.undelivered)
            )
        return topic


def _alarms_publish(topic: sns.Topic) -> iam.PolicyStatement:
    """Alarms of this account: else anybody's CloudWatch could send to operators."""
    return iam.PolicyStatement(
        principals=[CLOUDWATCH],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions=OF_ACCOUNT,
    )
