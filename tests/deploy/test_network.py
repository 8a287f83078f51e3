"""Who reaches machines by the network, and what they reach themselves."""

from __future__ import annotations

import json
from typing import Any

from tests.deploy.templates import Assembly

EVERYBODY = ("0.0.0.0/0", "::/0")


def test_the_network_spans_two_zones_and_nobody_comes_in(full: Assembly, least: Assembly) -> None:
    for assembly in (full, least):
        zones = {
            json.dumps(one["AvailabilityZone"])
            for one in assembly.of_type("network", "EC2::Subnet").values()
        }
        assert len(zones) == 2
        if assembly is least:
            assert zones == {'"us-east-1b"', '"us-east-1d"'}
        for one in ingress(assembly):
            assert one.get("CidrIp") not in EVERYBODY
            assert one.get("CidrIpv6") not in EVERYBODY
    assert not least.of_type("network", "EC2::InternetGateway")
    assert not least.of_type("network", "EC2::NatGateway")
    assert len(full.of_type("network", "EC2::NatGateway")) == 1


def test_ssh_is_closed_unless_named(full: Assembly, least: Assembly) -> None:
    assert [one["CidrIp"] for one in ingress(full) if one["FromPort"] == 22] == ["203.0.113.7/32"]
    assert not [one for one in ingress(least) if one["FromPort"] == 22]


def test_operators_who_may_use_ssh_have_a_way_to_machines(full: Assembly, least: Assembly) -> None:
    """Machines have no public address: without the endpoint the rule above opens nothing."""
    endpoint = full.the("network", "EC2::InstanceConnectEndpoint")
    assert endpoint["PreserveClientIp"] is True, "the rule is about the operator's own address"
    assert "WayIn" in json.dumps(endpoint["SecurityGroupIds"])
    assert not least.of_type("network", "EC2::InstanceConnectEndpoint")


def test_aws_is_reached_without_the_internet(full: Assembly, least: Assembly) -> None:
    def services(assembly: Assembly) -> set[str]:
        found = assembly.of_type("network", "EC2::VPCEndpoint").values()
        return {json.dumps(one["ServiceName"]).rpartition(".")[2].strip('"]} ') for one in found}

    needed = {"s3", "dynamodb", "sns", "monitoring", "logs", "secretsmanager", "ssm"}
    assert needed | {"ssmmessages", "cloudformation", "email-smtp"} == services(least)
    assert services(full) - services(least) == {"cognito-idp"}
    # The mail server of `full` isn't SES.
    assert services(least) - services(full) == {"email-smtp"}


def test_machines_can_send_nothing_elsewhere_where_outbound_is_off(least: Assembly) -> None:
    """A slip in a route, or one who got in, could carry customers' data to any address."""
    network = least.templates["network"]
    (group,) = (
        name
        for name, one in least.of_type("network", "EC2::SecurityGroup").items()
        if "machines that run" in one["GroupDescription"]
    )
    ways = [
        one
        for one in least.of_type("network", "EC2::SecurityGroupEgress").values()
        if one["GroupId"] == {"Fn::GetAtt": [group, "GroupId"]}
    ]
    lists = [one for one in ways if "DestinationPrefixListId" in one]
    assert {one["DestinationPrefixListId"]["Ref"] for one in lists} == {
        "DynamoDbAddresses",
        "S3Addresses",
    }
    assert {(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in lists} == {
        ("tcp", 443, 443)
    }
    assert all("DestinationSecurityGroupId" in one for one in ways if one not in lists)
    assert "Default" not in network["Parameters"]["S3Addresses"]
    assert not [one for one in EVERYBODY if f'"{one}"' in json.dumps(network["Resources"])]


def test_mail_finds_its_way(full: Assembly, least: Assembly) -> None:
    """To SES by its endpoint, to any other server by the way out; with the secret's password."""
    opened = {
        port: json.dumps(one["DestinationSecurityGroupId"])
        for port, one in ports(least, "EC2::SecurityGroupEgress")
        if "DestinationSecurityGroupId" in one
    }
    assert "EndpointsGroup" in opened[587]
    assert 587 in dict(ports(least, "EC2::SecurityGroupIngress"))
    (machines,) = (
        one
        for one in full.of_type("network", "EC2::SecurityGroup").values()
        if "machines that run" in one["GroupDescription"]
    )
    anywhere = {one["ToPort"] for one in machines["SecurityGroupEgress"] if "CidrIp" in one}
    assert anywhere == {443, 465}
    for assembly in (full, least):
        assert "MailPassword" in assembly.of_type("secrets", "SecretsManager::Secret")
        assert "MailPassword" in json.dumps(assembly.the("permissions", "IAM::Policy"))
        assert "MAIL_PASSWORD" in json.dumps(assembly.the("compute", "EC2::LaunchTemplate"))


def ports(assembly: Assembly, kind: str) -> list[tuple[int, dict[str, Any]]]:
    """Rules between groups, by the port that they open."""
    return [(one["ToPort"], one) for one in assembly.of_type("network", kind).values()]


def ingress(assembly: Assembly) -> list[dict[str, Any]]:
    """All rules that let something in."""
    found = list(assembly.of_type("network", "EC2::SecurityGroupIngress").values())
    for group in assembly.of_type("network", "EC2::SecurityGroup").values():
        found += group.get("SecurityGroupIngress", ())
    assert found
    return found
