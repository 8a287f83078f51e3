"""A network over two zones whose machines no one can reach from outside, and that reach only what
they need: AWS's services by endpoints, each other not at all."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws.fixed import (
    APP_PORT,
    CIDR,
    INTERFACES,
    MAIL_INTERFACE,
    POOL_INTERFACE,
    PREFIX_LISTS,
    ZONES,
)
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack

HTTPS = 443
SSH = 22
VALKEY = 6_379
# The second is what a serverless cache reads from.
VALKEY_PORTS = (VALKEY, VALKEY + 1)


class Network(Stack):
    """The network, its endpoints, and a security group for each part."""

    def __init__(self, scope: Construct, given: Environment) -> None:
        super().__init__(scope, "network", given, about="network, endpoints, security groups")
        self.vpc = self._vpc()
        self.machine_subnets = self.vpc.select_subnets(subnet_group_name="machines")
        self._log_traffic()
        self.link = self._group("Link", "way in from the gateway")
        self.balancer = self._group("Balancer", "the load balancer")
        self.machines = self._group("Machines", "the machines that run the shop")
        self.endpoints = self._group("Endpoints", "endpoints of AWS services")
        self.cache = self._group("Cache", "the cache that machines share")
        self._open()
        self._reach_services()

    def _vpc(self) -> ec2.Vpc:
        kind = ec2.SubnetType
        inside = kind.PRIVATE_WITH_EGRESS if self.given.outbound else kind.PRIVATE_ISOLATED
        subnets = [ec2.SubnetConfiguration(name="machines", subnet_type=inside, cidr_mask=20)]
        if self.given.outbound:
            subnets.append(
                ec2.SubnetConfiguration(
                    name="outside",
                    subnet_type=kind.PUBLIC,
                    cidr_mask=28,
                    map_public_ip_on_launch=False,
                )
            )
        return ec2.Vpc(
            self,
            "Vpc",
            vpc_name=f"{self.given.prefix}network",
            ip_addresses=ec2.IpAddresses.cidr(CIDR),
            max_azs=None if self.given.zones else ZONES,
            availability_zones=list(self.given.zones) or None,
            nat_gateways=1 if self.given.outbound else 0,
            subnet_configuration=subnets,
            restrict_default_security_group=False,
        )

    def _log_traffic(self) -> None:
        group = logs.LogGroup(
            self,
            "Traffic",
            log_group_name=f"/storekeeper/{self.given.name}/network",
            retention=retention(self.given),
            removal_policy=self.kept,
        )
        self.vpc.add_flow_log(
            "Refused",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )

    def _group(self, name: str, about: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self,
            f"{name}Group",
            vpc=self.vpc,
            description=f"Storekeeper {self.given.name}: {about}",
            allow_all_outbound=False,
        )

    def _open(self) -> None:
        _connect(self.link, self.balancer, HTTPS, "requests from the gateway")
        _connect(self.balancer, self.machines, APP_PORT, "requests and health checks")
        _connect(self.machines, self.endpoints, HTTPS, "services of AWS")
        # Also where there is no cache: one that is switched off goes when no machine uses it any
        # more, and needs its group until then.
        for port in VALKEY_PORTS:
            _connect(self.machines, self.cache, port, "the cache")
        self.export_value(self.cache.security_group_id)
        if self.given.outbound:
            self.machines.add_egress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(HTTPS), "webhooks, DynamoDB and S3"
            )
        else:
            self._reach_tables_and_files()
        mail = self.given.mail
        if mail is not None and self.given.mails_by_ses:
            _connect(self.machines, self.endpoints, mail.port, "mail by SES")
        elif mail is not None:
            self.machines.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(mail.port), "mail")
        if self.given.ssh_from:
            self._let_operators_in()

    def _reach_tables_and_files(self) -> None:
        """DynamoDB and S3 have public addresses, also over the gateway endpoints. There is no route
        to any other, and no rule either."""
        for name, service in PREFIX_LISTS.items():
            addresses = cdk.CfnParameter(
                self,
                name,
                type="String",
                allowed_pattern="pl-[0-9a-f]+",
                description=f"Id of the list of addresses of {service} in this region",
            )
            ec2.CfnSecurityGroupEgress(
                self,
                f"MachinesTo{name}",
                group_id=self.machines.security_group_id,
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                destination_prefix_list_id=addresses.value_as_string,
                description=f"{service} by its endpoint",
            )

    def _let_operators_in(self) -> None:
        """By an endpoint that the operators' own rights open. Machines have no public address, but
        are shown the operator's, so that theirs is the rule which counts."""
        way_in = self._group("WayIn", "way in for operators")
        way_in.add_egress_rule(self.machines, ec2.Port.tcp(SSH), "SSH to machines")
        ec2.CfnInstanceConnectEndpoint(
            self,
            "OperatorsEndpoint",
            subnet_id=self.machine_subnets.subnet_ids[0],
            security_group_ids=[way_in.security_group_id],
            preserve_client_ip=True,
        )
        for network in self.given.ssh_from:
            self.machines.add_ingress_rule(ec2.Peer.ipv4(network), ec2.Port.tcp(SSH), "operators")

    def _reach_services(self) -> None:
        inside = ec2.SubnetSelection(subnet_group_name="machines")
        for name, gateway in (
            ("DynamoDb", ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            ("S3", ec2.GatewayVpcEndpointAwsService.S3),
        ):
            self.vpc.add_gateway_endpoint(name, service=gateway, subnets=[inside])
        services = dict(INTERFACES)
        if self.given.cognito != "off":
            services |= POOL_INTERFACE
        if self.given.mails_by_ses:
            services |= MAIL_INTERFACE
        zones = self.given.machines.endpoint_zones
        for name, service in services.items():
            self.vpc.add_interface_endpoint(
                name,
                service=ec2.InterfaceVpcEndpointAwsService(service),
                open=False,
                security_groups=[self.endpoints],
                subnets=ec2.SubnetSelection(subnets=self.machine_subnets.subnets[:zones]),
            )


def retention(given: Environment) -> logs.RetentionDays:
    """How long logs are kept."""
    return {
        7: logs.RetentionDays.ONE_WEEK,
        14: logs.RetentionDays.TWO_WEEKS,
        30: logs.RetentionDays.ONE_MONTH,
        60: logs.RetentionDays.TWO_MONTHS,
        90: logs.RetentionDays.THREE_MONTHS,
        180: logs.RetentionDays.SIX_MONTHS,
        365: logs.RetentionDays.ONE_YEAR,
    }[given.log_days]


def _connect(source: ec2.SecurityGroup, target: ec2.SecurityGroup, port: int, about: str) -> None:
    target.add_ingress_rule(source, ec2.Port.tcp(port), about)
    source.add_egress_rule(target, ec2.Port.tcp(port), about)
