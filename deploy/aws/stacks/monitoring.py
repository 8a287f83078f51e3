"""Alarms, the one that wakes somebody, the dashboard, and figures made from the log."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws import dashboard, machines, runbook
from deploy.aws.alarms import ERRORS, WAKING, Watched, all_alarms, placed, waking_rule
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack
from deploy.aws.stacks.compute import Compute
from deploy.aws.stacks.gateway import Gateway
from deploy.aws.stacks.notifications import Notifications

# The composite alarm's own part of the runbook.
WAKES = "wakes-somebody"


class Monitoring(Stack):
    """What tells operators how the shop is."""

    def __init__(
        self,
        scope: Construct,
        given: Environment,
        *,
        notifications: Notifications,
        compute: Compute,
        gateway: Gateway,
    ) -> None:
        super().__init__(scope, "monitoring", given, about="alarms, dashboard, figures of the log")
        watched = Watched(
            api=gateway.api.ref,
            balancer=compute.front.balancer.attr_load_balancer_full_name,
            targets=compute.front.targets.attr_target_group_full_name,
            group=f"{given.prefix}machines",
            undelivered=f"{given.prefix}undelivered",
        )
        self._count_errors()
        self._learn()
        self._alarms(watched, notifications)
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=runbook.dashboard_name(given),
            dashboard_body=dashboard.body(given, watched),
        )

    def _count_errors(self) -> None:
        logs.CfnMetricFilter(
            self,
            "LoggedErrors",
            log_group_name=machines.log_group(self.given),
            filter_pattern='{ $.level = "error" || $.level = "critical" }',
            metric_transformations=[
                logs.CfnMetricFilter.MetricTransformationProperty(
                    metric_namespace=self.given.namespace,
                    metric_name=ERRORS,
                    metric_value="1",
                    default_value=0,
                    unit="Count",
                )
            ],
        )

    def _learn(self) -> None:
        """What is usual of orders, by the time of the week."""
        cdk.CfnResource(
            self,
            "UsualOrders",
            type="AWS::CloudWatch::AnomalyDetector",
            properties={
                "MetricMathAnomalyDetector": {
                    "MetricDataQueries": [
                        {**one, "ReturnData": one["Id"] == "orders"} for one in placed(self.given)
                    ]
                }
            },
        )

    def _alarms(self, watched: Watched, notifications: Notifications) -> None:
        found = all_alarms(self.given, watched, notifications.operations.topic_arn)
        made = {
            name: cdk.CfnResource(
                self,
                "".join(word.capitalize() for word in name.split("-")) + "Alarm",
                type="AWS::CloudWatch::Alarm",
                properties=properties,
            )
            for name, properties in found.items()
        }
        page = cloudwatch.CfnCompositeAlarm(
            self,
            "Wakes",
            alarm_name=f"{self.given.prefix}{WAKES}",
            alarm_description="Customers can't order, or soon can't. What to do: "
            + runbook.link(self.given, WAKES),
            alarm_rule=waking_rule(self.given, list(found)),
            alarm_actions=[notifications.pages.topic_arn],
            ok_actions=[notifications.pages.topic_arn],
        )
        for name in sorted(WAKING & made.keys()):
            page.node.add_dependency(made[name])
