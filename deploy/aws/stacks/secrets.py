"""Keys that sign tokens, renewed by themselves, and passwords at the cache and the mail server."""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.aws import rotation
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept, accept_wildcards
from deploy.aws.stacks.network import retention

# Longer than a machine lives (`compute.OLDEST_DAYS`), so that each knows every `next` in time.
ROTATION_DAYS = 90
PASSWORD_LETTERS = 64


class Secrets(Stack):
    """The signing keys with their rotation, and the passwords.

    Passwords are there whether they are needed or not: machines that are replaced while the cache or
    mail is switched off, and those that come back where that fails, still find theirs.
    """

    def __init__(self, scope: Construct, given: Environment) -> None:
        super().__init__(scope, "secrets", given, about="keys and their renewal")
        self.signing = self._signing()
        self._renew()
        self.cache_password = self._cache_password()
        self.mail_password = self._mail_password()
        self.output("SigningKeys", self.signing.ref, "keys that sign tokens")

    def _signing(self) -> secretsmanager.CfnSecret:
        secret = secretsmanager.CfnSecret(
            self,
            "SigningKeys",
            name=f"{self.given.prefix}signing-keys",
            description="Keys that sign access tokens: current, next and previous",
            generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
                secret_string_template=json.dumps({"next": "", "previous": ""}),
                generate_string_key="current",
                password_length=PASSWORD_LETTERS,
                exclude_punctuation=True,
            ),
        )
        secret.apply_removal_policy(self.kept)
        return secret

    def _renew(self) -> None:
        function = functions.Function(
            self,
            "Renewal",
            function_name=f"{self.given.prefix}renew-keys",
            description="Renews the keys that sign tokens",
            runtime=functions.Runtime.PYTHON_3_14,
            architecture=functions.Architecture.ARM_64,
            handler="index.handler",
            code=functions.Code.from_inline(Path(rotation.__file__).read_text()),
            timeout=cdk.Duration.seconds(30),
            memory_size=256,
            role=self._renewal_role(),
            log_group=logs.LogGroup(
                self,
                "RenewalLog",
                log_group_name=f"/storekeeper/{self.given.name}/renew-keys",
                retention=retention(self.given),
                removal_policy=cdk.RemovalPolicy.DESTROY,
            ),
        )
        allowed = functions.CfnPermission(
            self,
            "RenewalAllowed",
            action="lambda:InvokeFunction",
            function_name=function.function_name,
            principal="secretsmanager.amazonaws.com",
            source_account=cdk.Aws.ACCOUNT_ID,
        )
        schedule = secretsmanager.CfnRotationSchedule(
            self,
            "RenewalSchedule",
            secret_id=self.signing.ref,
            rotation_lambda_arn=function.function_arn,
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                schedule_expression=f"rate({ROTATION_DAYS} days)"
            ),
        )
        schedule.node.add_dependency(allowed)

    def _renewal_role(self) -> iam.Role:
        role = iam.Role(
            self, "RenewalRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:UpdateSecretVersionStage",
                ],
                resources=[self.signing.ref],
            )
        )
        streams = (
            f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:"
            f"log-group:/storekeeper/{self.given.name}/renew-keys:*"
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[streams],
            )
        )
        accept_wildcards(role, [streams], "Streams of the function's own log group alone.")
        return role

    def _cache_password(self) -> secretsmanager.CfnSecret:
        return self._password(
            "CachePassword",
            "cache-password",
            "The shop's password at the cache",
            "The cache's user takes it from the stack; it is renewed by an update (docs/aws.md).",
        )

    def _mail_password(self) -> secretsmanager.CfnSecret:
        """Something that no server takes, until operators put the real one there (docs/aws.md):
        machines don't start without a value."""
        return self._password(
            "MailPassword",
            "mail-password",
            "The shop's password at the mail server; put it there yourself",
            "The mail server makes it, and nobody here can renew it there (docs/aws.md).",
        )

    def _password(
        self, id: str, name: str, description: str, why_not_renewed: str
    ) -> secretsmanager.CfnSecret:
        secret = secretsmanager.CfnSecret(
            self,
            id,
            name=f"{self.given.prefix}{name}",
            description=description,
            generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
                password_length=PASSWORD_LETTERS, exclude_punctuation=True
            ),
        )
        accept(secret, "AwsSolutions-SMG4", why_not_renewed)
        return secret
