"""How customers come to the shop: its name, its certificate, and what is refused before the machines."""

from __future__ import annotations

import re
from typing import Any

from tests.deploy.templates import Assembly

DOMAIN, ZONE = "shop.example.com", "Z0123456789ABCDEFGHIJ"


def certificate(assembly: Assembly) -> str:
    """The logical id of the only one, in the stack `compute`."""
    (name,) = assembly.of_type("compute", "CertificateManager::Certificate")
    return name


def exported(assembly: Assembly, stack: str, value: Any) -> Any:
    """What the name that is imported stands for in that stack."""
    (found,) = (
        one["Value"]
        for one in assembly.templates[stack]["Outputs"].values()
        if one.get("Export", {}).get("Name") == value["Fn::ImportValue"]
    )
    return found


def test_the_shops_name_leads_to_the_gateway_by_both_kinds_of_address(full: Assembly) -> None:
    """Else customers find nothing under the name, or those who have IPv6 alone don't."""
    (domain,) = full.of_type("gateway", "ApiGatewayV2::DomainName")
    records = full.of_type("gateway", "Route53::RecordSet").values()
    assert {one["Type"] for one in records} == {"A", "AAAA"}
    for one in records:
        assert (one["Name"], one["HostedZoneId"]) == (DOMAIN, ZONE)
        assert one["AliasTarget"] == {
            "DNSName": {"Fn::GetAtt": [domain, "RegionalDomainName"]},
            "HostedZoneId": {"Fn::GetAtt": [domain, "RegionalHostedZoneId"]},
        }
    mapping = full.the("gateway", "ApiGatewayV2::ApiMapping")
    (api,) = full.of_type("gateway", "ApiGatewayV2::Api")
    (stage,) = full.of_type("gateway", "ApiGatewayV2::Stage")
    assert mapping == {
        "ApiId": {"Ref": api},
        "DomainName": {"Ref": domain},
        "Stage": {"Ref": stage},
    }


def test_customers_are_shown_a_certificate_of_the_shops_own_name(full: Assembly) -> None:
    """Else their browsers warn of the shop; Route 53 proves the name, so nobody has to do it."""
    given = full.the("compute", "CertificateManager::Certificate")
    assert (given["DomainName"], given["ValidationMethod"]) == (DOMAIN, "DNS")
    assert given["DomainValidationOptions"] == [{"DomainName": DOMAIN, "HostedZoneId": ZONE}]
    domain = full.the("gateway", "ApiGatewayV2::DomainName")
    assert domain["DomainName"] == DOMAIN
    (shown,) = domain["DomainNameConfigurations"]
    wanted = {"Ref": certificate(full)}
    assert exported(full, "compute", shown["CertificateArn"]) == wanted
    listener = full.the("compute", "ElasticLoadBalancingV2::Listener")
    assert listener["Certificates"] == [{"CertificateArn": wanted}]


def test_nobody_talks_to_the_shop_by_an_old_tls(full: Assembly) -> None:
    """Before 1.2 passwords and addresses could be read on their way."""
    (shown,) = full.the("gateway", "ApiGatewayV2::DomainName")["DomainNameConfigurations"]
    assert shown["SecurityPolicy"] == "TLS_1_2"
    policy = full.the("compute", "ElasticLoadBalancingV2::Listener")["SslPolicy"]
    assert re.match(r"ELBSecurityPolicy-TLS13-1-[23]-", policy)


def test_log_ins_leave_the_processors_to_those_who_order(full: Assembly) -> None:
    """A password's hash is what costs most. As docs/aws.md says, for everybody together."""
    stage = full.the("gateway", "ApiGatewayV2::Stage")
    held = {"ThrottlingRateLimit": 20, "ThrottlingBurstLimit": 40}
    assert stage["RouteSettings"]["POST /auth/login"] == held
    assert all(one == held for one in stage["RouteSettings"].values())
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == 2_000


def test_the_firewall_refuses_what_amazons_rules_know_as_an_attack(full: Assembly) -> None:
    """Rules that only count, or that hold for nothing, would let all of it reach the shop."""
    acl = full.the("compute", "WAFv2::WebACL")
    assert acl["DefaultAction"] == {"Allow": {}}
    groups = {one["Statement"]["ManagedRuleGroupStatement"]["Name"]: one for one in acl["Rules"]}
    assert groups.keys() == {
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
    }
    for one in groups.values():
        assert one["OverrideAction"] == {"None": {}}
        assert one["Statement"]["ManagedRuleGroupStatement"]["VendorName"] == "AWS"
    assert len({one["Priority"] for one in acl["Rules"]}) == len(groups)


def test_the_firewall_lets_imports_pictures_and_descriptions_in(full: Assembly) -> None:
    """These two rules refuse bodies of more than 8 KB, and HTML in a product's text."""
    rules = full.the("compute", "WAFv2::WebACL")["Rules"]
    counted = {
        (one["Name"], override["Name"]): override["ActionToUse"]
        for one in rules
        for override in one["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    }
    assert counted == {
        ("AWSManagedRulesCommonRuleSet", "SizeRestrictions_BODY"): {"Count": {}},
        ("AWSManagedRulesCommonRuleSet", "CrossSiteScripting_BODY"): {"Count": {}},
    }


def test_the_firewall_holds_nobody_back_for_what_others_ask(full: Assembly) -> None:
    """It sees the gateway as the source of all: a limit by address would shut everybody out."""
    assert "RateBasedStatement" not in str(full.the("compute", "WAFv2::WebACL"))


def test_the_firewall_holds_for_the_balancer_of_the_machines(full: Assembly) -> None:
    """Rules that are bound to nothing refuse nothing."""
    (acl,) = full.of_type("compute", "WAFv2::WebACL")
    (balancer,) = full.of_type("compute", "ElasticLoadBalancingV2::LoadBalancer")
    assert full.the("compute", "WAFv2::WebACLAssociation") == {
        "ResourceArn": {"Ref": balancer},
        "WebACLArn": {"Fn::GetAtt": [acl, "Arn"]},
    }
