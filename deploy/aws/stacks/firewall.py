"""AWS WAF before the load balancer, as it can't stand before an HTTP API itself.

It sees the gateway as the source of all requests, so it has rules for what is asked and none for who
asks: rates are the gateway's and the shop's own.
"""

from __future__ import annotations

from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from deploy.aws.settings import Environment

_Acl = waf.CfnWebACL
# Amazon's own rules. Imports and pictures are longer than the first allows, and what it would
# refuse for that is only counted.
MANAGED: dict[str, tuple[str, ...]] = {
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY", "CrossSiteScripting_BODY"),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
}


class Firewall(Construct):
    """The rules, and that they hold for `balancer`."""

    def __init__(self, scope: Construct, given: Environment, *, balancer: str) -> None:
        super().__init__(scope, "Firewall")
        rules = [_managed(at, name) for at, name in enumerate(MANAGED)]
        acl = _Acl(
            self,
            "Rules",
            name=f"{given.prefix}shop",
            scope="REGIONAL",
            default_action=_Acl.DefaultActionProperty(allow={}),
            visibility_config=_seen(f"{given.prefix}shop"),
            rules=rules,
        )
        waf.CfnWebACLAssociation(self, "For", resource_arn=balancer, web_acl_arn=acl.attr_arn)


def _managed(at: int, name: str) -> waf.CfnWebACL.RuleProperty:
    return _Acl.RuleProperty(
        name=name,
        priority=at,
        override_action=_Acl.OverrideActionProperty(none={}),
        statement=_Acl.StatementProperty(
            managed_rule_group_statement=_Acl.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    _Acl.RuleActionOverrideProperty(
                        name=rule, action_to_use=_Acl.RuleActionProperty(count={})
                    )
                    for rule in MANAGED[name]
                ],
            )
        ),
        visibility_config=_seen(name),
    )


def _seen(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return _Acl.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
