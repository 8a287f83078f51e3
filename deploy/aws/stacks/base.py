"""What all stacks share: their names, their place, and reasons for what the checks ask about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aws_cdk as cdk
from constructs import Construct, IConstruct

from deploy.aws.fixed import GUARD, GUARDED
from deploy.aws.settings import Environment


class Stack(cdk.Stack):
    """One stack of an environment. Nothing in it needs the account to be prepared beforehand."""

    def __init__(self, scope: Construct, part: str, given: Environment, *, about: str) -> None:
        super().__init__(
            scope,
            part.capitalize(),
            stack_name=f"{given.prefix}{part}",
            description=f"Storekeeper ({given.name}): {about}",
            env=cdk.Environment(region=given.region),
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
            termination_protection=given.protected,
        )
        self.given = given
        self._guard: cdk.CfnCondition | None = None

    @property
    def kept(self) -> cdk.RemovalPolicy:
        """What becomes of data when its stack is removed. A first try that fails leaves nothing,
        or the next would find its names taken."""
        if self.given.protected:
            return cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        return cdk.RemovalPolicy.DESTROY

    def guarded(self, yes: object, no: object) -> Any:
        """`yes` where things of this stack can't be deleted, `no` where they can: always in an
        environment that isn't protected, and while they are made (`deploying.Formation.put`)."""
        if not self.given.protected:
            return no
        if self._guard is None:
            parameter = cdk.CfnParameter(
                self,
                GUARD,
                type="String",
                default="true",
                allowed_values=["true", "false"],
                description="Whether what holds data refuses to be deleted",
            )
            self._guard = cdk.CfnCondition(
                self, GUARDED, expression=cdk.Fn.condition_equals(parameter, "true")
            )
        return cdk.Fn.condition_if(self._guard.logical_id, yes, no)

    def output(self, name: str, value: str, about: str) -> None:
        made = cdk.CfnOutput(self, f"Output{name}", value=value, description=about)
        made.override_logical_id(name)

    def bucket_name(self, purpose: str) -> str:
        """Of a bucket, which nobody else in the world may have."""
        return f"{self.given.prefix}{purpose}-{cdk.Aws.ACCOUNT_ID}-{self.given.region}"


def bucket_arn(name: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:s3:::{name}"


def accept_wildcards(role: IConstruct, resources: Iterable[str], reason: str) -> None:
    """Says why a role may use whatever begins with these."""
    for resource in resources:
        plain = (
            resource.replace(cdk.Aws.PARTITION, "<AWS::Partition>")
            .replace(cdk.Aws.REGION, "<AWS::Region>")
            .replace(cdk.Aws.ACCOUNT_ID, "<AWS::AccountId>")
        )
        accept(role, f"AwsSolutions-IAM5[Resource::{plain}]", reason)


def accept(thing: IConstruct, rule: str, reason: str) -> None:
    """Says why a finding of the AwsSolutions checks stands."""
    cdk.Validations.of(thing).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))
