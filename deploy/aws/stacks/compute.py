"""The machines: how one is made, how many there are, and how a new release takes their place.

An update replaces one machine after the other, each only when its successor has said that it is
ready, which it does when the load balancer counts it; where one doesn't, or an alarm of `RollbackAlarms` rings, CloudFormation goes back.
"""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from deploy.aws import machines, runbook
from deploy.aws.fixed import REQUESTS_A_MINUTE
from deploy.aws.settings import Environment
from deploy.aws.stacks.balancer import COUNTED_S, Balancer
from deploy.aws.stacks.base import Stack, accept
from deploy.aws.stacks.data import Data
from deploy.aws.stacks.firewall import Firewall
from deploy.aws.stacks.network import Network
from deploy.aws.stacks.notifications import Notifications
from deploy.aws.stacks.permissions import Permissions
from deploy.aws.stacks.releases import Releases

# Looked up whenever a machine is made, not when the stack is.
IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
# Machines are made anew this often, with the newest image and the newest keys.
OLDEST_DAYS = 30
PATIENCE = "PT20M"
GROUP = "Machines"
BUSY_PERCENT = 50
_Launch = ec2.CfnLaunchTemplate
_Group = autoscaling.CfnAutoScalingGroup


class Compute(Stack):
    """Launch template, group, load balancer, firewall."""

    def __init__(
        self,
        scope: Construct,
        given: Environment,
        *,
        network: Network,
        data: Data,
        notifications: Notifications,
        permissions: Permissions,
        releases: Releases,
        places: machines.Places,
    ) -> None:
        super().__init__(scope, "compute", given, about="machines and their load balancer")
        self.operations = notifications.operations.topic_arn
        self.release = cdk.CfnParameter(
            self,
            "Release",
            type="String",
            allowed_pattern="[0-9a-f]{64}",
            description="SHA-256 of the release that machines run",
        )
        self.front = Balancer(self, given, network=network, access_logs=data.access_logs)
        if given.firewall:
            Firewall(self, given, balancer=self.front.balancer.ref)
        template = self._template(
            network,
            permissions.profile.attr_arn,
            self._start(releases.bucket_name("releases"), places),
        )
        self.group = self._group(network, template)
        self._scale()
        self._roll_back()

    def _start(self, bucket: str, places: machines.Places) -> str:
        """The script that a machine starts with; it changes with the release."""
        return machines.start_script(
            {
                "STACK": self.stack_name,
                "GROUP": GROUP,
                "REGION": self.given.region,
                "BUCKET": bucket,
                "RELEASE": self.release.value_as_string,
                "STEADY": str(COUNTED_S),
                "SETTINGS": machines.env_file(machines.settings(self.given, places)),
                "SECRETS": machines.env_file(machines.secrets(self.given, places)),
                "AGENT": json.dumps(machines.agent(self.given)),
            }
        )

    def _template(self, network: Network, profile: str, start: str) -> ec2.CfnLaunchTemplate:
        given = self.given
        disk = _Launch.EbsProperty(
            volume_size=given.machines.disk_gb,
            volume_type="gp3",
            encrypted=True,
            delete_on_termination=True,
        )
        return _Launch(
            self,
            "Template",
            launch_template_name=f"{given.prefix}machine",
            launch_template_data=_Launch.LaunchTemplateDataProperty(
                image_id=IMAGE,
                instance_type=given.machines.instance,
                iam_instance_profile=_Launch.IamInstanceProfileProperty(arn=profile),
                security_group_ids=[network.machines.security_group_id],
                key_name=given.ssh_key or None,
                metadata_options=_Launch.MetadataOptionsProperty(
                    http_tokens="required",
                    http_endpoint="enabled",
                    http_put_response_hop_limit=1,
                    instance_metadata_tags="disabled",
                ),
                monitoring=_Launch.MonitoringProperty(enabled=True),
                block_device_mappings=[
                    _Launch.BlockDeviceMappingProperty(device_name="/dev/xvda", ebs=disk)
                ],
                tag_specifications=[
                    _Launch.TagSpecificationProperty(
                        resource_type=kind,
                        tags=[cdk.CfnTag(key="Name", value=f"{given.prefix}machine")],
                    )
                    for kind in ("instance", "volume")
                ],
                user_data=cdk.Fn.base64(start),
            ),
        )

    def _group(
        self, network: Network, template: ec2.CfnLaunchTemplate
    ) -> autoscaling.CfnAutoScalingGroup:
        size = self.given.machines
        group = _Group(
            self,
            GROUP,
            auto_scaling_group_name=f"{self.given.prefix}machines",
            min_size=str(size.least),
            max_size=str(size.most),
            vpc_zone_identifier=network.machine_subnets.subnet_ids,
            launch_template=_Group.LaunchTemplateSpecificationProperty(
                launch_template_id=template.ref, version=template.attr_latest_version_number
            ),
            target_group_arns=[self.front.targets.ref],
            health_check_type="ELB",
            health_check_grace_period=600,
            max_instance_lifetime=OLDEST_DAYS * 86_400,
            # A machine that is too old, or ill, goes when its successor serves.
            instance_maintenance_policy=_Group.InstanceMaintenancePolicyProperty(
                min_healthy_percentage=100, max_healthy_percentage=150
            ),
            metrics_collection=[_Group.MetricsCollectionProperty(granularity="1Minute")],
        )
        accept(
            group,
            "AwsSolutions-AS3",
            "Too few machines are an alarm; each that comes and goes is in the dashboard.",
        )
        group.cfn_options.creation_policy = cdk.CfnCreationPolicy(
            resource_signal=cdk.CfnResourceSignal(count=size.least, timeout=PATIENCE)
        )
        group.cfn_options.update_policy = cdk.CfnUpdatePolicy(
            auto_scaling_rolling_update=cdk.CfnAutoScalingRollingUpdate(
                min_instances_in_service=size.least,
                max_batch_size=1,
                min_successful_instances_percent=100,
                pause_time=PATIENCE,
                wait_on_resource_signals=True,
                suspend_processes=[
                    "AZRebalance",
                    "AlarmNotification",
                    "HealthCheck",
                    "ReplaceUnhealthy",
                    "ScheduledActions",
                ],
            )
        )
        group.node.add_dependency(self.front.listener)
        return group

    def _scale(self) -> None:
        kind = autoscaling.CfnScalingPolicy
        # Names of the load balancer and the group as the figure wants them.
        label = f"{self.front.balancer.attr_load_balancer_full_name}/" + (
            self.front.targets.attr_target_group_full_name
        )
        wanted = {
            "Cpu": (BUSY_PERCENT, "ASGAverageCPUUtilization", None),
            "Requests": (REQUESTS_A_MINUTE, "ALBRequestCountPerTarget", label),
        }
        for name, (value, metric, resource) in wanted.items():
            kind(
                self,
                f"By{name}",
                auto_scaling_group_name=self.group.ref,
                policy_type="TargetTrackingScaling",
                estimated_instance_warmup=300,
                target_tracking_configuration=kind.TargetTrackingConfigurationProperty(
                    target_value=value,
                    predefined_metric_specification=kind.PredefinedMetricSpecificationProperty(
                        predefined_metric_type=metric, resource_label=resource
                    ),
                ),
            )

    def _roll_back(self) -> None:
        """What ends an update and takes it back; the deployment hands these to CloudFormation."""
        dimensions = [
            cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
            for name, value in (
                ("LoadBalancer", self.front.balancer.attr_load_balancer_full_name),
                ("TargetGroup", self.front.targets.attr_target_group_full_name),
            )
        ]
        found = []
        for name, metric, statistic, most, about in (
            ("Faults", "HTTPCode_Target_5XX_Count", "Sum", 20, "machines answer with faults"),
            ("Unreached", "TargetConnectionErrorCount", "Sum", 20, "machines can't be reached"),
        ):
            alarm = cloudwatch.CfnAlarm(
                self,
                f"Update{name}",
                alarm_name=f"{self.given.prefix}update-{name.lower()}",
                alarm_description=f"While an update goes on: {about}. It is taken back. "
                f"What to do: {runbook.link(self.given, f'update-{name.lower()}')}",
                namespace="AWS/ApplicationELB",
                metric_name=metric,
                dimensions=dimensions,
                statistic=statistic,
                period=60,
                evaluation_periods=1,
                threshold=most,
                comparison_operator="GreaterThanThreshold",
                treat_missing_data="notBreaching",
                alarm_actions=[self.operations],
                ok_actions=[self.operations],
            )
            found.append(alarm.attr_arn)
        self.output("RollbackAlarms", cdk.Fn.join(",", found), "alarms that take an update back")
