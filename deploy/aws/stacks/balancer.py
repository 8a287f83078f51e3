"""The internal load balancer in front of the machines, with its certificate and its firewall."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as certificates
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.aws.fixed import APP_PORT
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack
from deploy.aws.stacks.network import HTTPS, Network

DRAINING_S = 30
# How the balancer looks at a machine, and how many good looks it takes until one is counted.
LOOK_S, LOOK_TIMEOUT_S, GOOD_LOOKS = 10, 5, 2
# Whoever has been ready for this long is counted, whenever the looks fell.
COUNTED_S = LOOK_S * GOOD_LOOKS + LOOK_TIMEOUT_S
_Attribute = balancing.CfnLoadBalancer.LoadBalancerAttributeProperty
_TargetAttribute = balancing.CfnTargetGroup.TargetGroupAttributeProperty


class Balancer(Construct):
    """TLS from the gateway on, with the shop's own certificate; machines are asked by /readyz."""

    def __init__(
        self, scope: Stack, given: Environment, *, network: Network, access_logs: s3.Bucket
    ) -> None:
        super().__init__(scope, "Balancer")
        self.certificate = certificates.CfnCertificate(
            self,
            "Certificate",
            domain_name=given.domain,
            validation_method="DNS",
            domain_validation_options=[
                certificates.CfnCertificate.DomainValidationOptionProperty(
                    domain_name=given.domain, hosted_zone_id=given.hosted_zone
                )
            ],
        )
        self.balancer = balancing.CfnLoadBalancer(
            self,
            "LoadBalancer",
            name=f"{given.prefix}shop",
            type="application",
            scheme="internal",
            subnets=network.machine_subnets.subnet_ids,
            security_groups=[network.balancer.security_group_id],
            load_balancer_attributes=_attributes(scope, access_logs),
        )
        self.targets = self._targets(given, network)
        self.listener = balancing.CfnListener(
            self,
            "Listener",
            load_balancer_arn=self.balancer.ref,
            port=HTTPS,
            protocol="HTTPS",
            ssl_policy="ELBSecurityPolicy-TLS13-1-2-2021-06",
            certificates=[
                balancing.CfnListener.CertificateProperty(certificate_arn=self.certificate.ref)
            ],
            default_actions=[
                balancing.CfnListener.ActionProperty(
                    type="forward", target_group_arn=self.targets.ref
                )
            ],
        )

    def _targets(self, given: Environment, network: Network) -> balancing.CfnTargetGroup:
        attributes = {
            "deregistration_delay.timeout_seconds": str(DRAINING_S),
            "load_balancing.algorithm.type": "least_outstanding_requests",
        }
        return balancing.CfnTargetGroup(
            self,
            "Targets",
            name=f"{given.prefix}machines",
            vpc_id=network.vpc.vpc_id,
            port=APP_PORT,
            protocol="HTTP",
            target_type="instance",
            health_check_path="/readyz",
            health_check_interval_seconds=LOOK_S,
            health_check_timeout_seconds=LOOK_TIMEOUT_S,
            healthy_threshold_count=GOOD_LOOKS,
            unhealthy_threshold_count=3,
            matcher=balancing.CfnTargetGroup.MatcherProperty(http_code="200"),
            target_group_attributes=[
                _TargetAttribute(key=key, value=value) for key, value in attributes.items()
            ],
        )


def _attributes(stack: Stack, access_logs: s3.Bucket) -> list[_Attribute]:
    wanted = {
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": access_logs.bucket_name,
        "access_logs.s3.prefix": "balancer",
        "deletion_protection.enabled": cdk.Token.as_string(stack.guarded("true", "false")),
        "routing.http.drop_invalid_header_fields.enabled": "true",
        "idle_timeout.timeout_seconds": "60",
    }
    return [_Attribute(key=key, value=value) for key, value in wanted.items()]
