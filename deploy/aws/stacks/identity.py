"""A user pool, whose people are let in beside the shop's own accounts or in their place."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from deploy.aws.fixed import GROUPS
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept

ACCESS_MINUTES = 15
REFRESH_DAYS = 30
LEAST_PASSWORD = 12


class Identity(Stack):
    """The pool with its groups and one client for browsers and applications."""

    def __init__(self, scope: Construct, given: Environment) -> None:
        super().__init__(scope, "identity", given, about="user pool")
        self.pool = self._pool()
        for name in GROUPS:
            cognito.CfnUserPoolGroup(
                self, f"{name.capitalize()}Group", user_pool_id=self.pool.ref, group_name=name
            )
        self.client = self._client()
        # By the pool's id, which machines take too, so that the gateway can stop asking (`required`
        # to `beside`) without losing what it still uses.
        self.issuer = f"https://cognito-idp.{given.region}.{cdk.Aws.URL_SUFFIX}/{self.pool.ref}"
        self.output("UserPool", self.pool.ref, "where people of the pool are kept")
        self.output("Client", self.client.ref, "the app client whose tokens are taken")

    def _pool(self) -> cognito.CfnUserPool:
        kind = cognito.CfnUserPool
        pool = kind(
            self,
            "Pool",
            user_pool_name=f"{self.given.prefix}people",
            username_attributes=["email"],
            auto_verified_attributes=["email"],
            username_configuration=kind.UsernameConfigurationProperty(case_sensitive=False),
            mfa_configuration="OPTIONAL",
            enabled_mfas=["SOFTWARE_TOKEN_MFA"],
            policies=kind.PoliciesProperty(
                password_policy=kind.PasswordPolicyProperty(
                    minimum_length=LEAST_PASSWORD,
                    require_lowercase=True,
                    require_uppercase=True,
                    require_numbers=True,
                    require_symbols=True,
                    temporary_password_validity_days=3,
                )
            ),
            account_recovery_setting=kind.AccountRecoverySettingProperty(
                recovery_mechanisms=[kind.RecoveryOptionProperty(name="verified_email", priority=1)]
            ),
            user_attribute_update_settings=kind.UserAttributeUpdateSettingsProperty(
                attributes_require_verification_before_update=["email"]
            ),
            deletion_protection=cdk.Token.as_string(self.guarded("ACTIVE", "INACTIVE")),
        )
        pool.apply_removal_policy(self.kept)
        accept(
            pool,
            "AwsSolutions-COG8",
            "Threat protection is a paid plan of its own, which the operator may choose.",
        )
        accept(pool, "AwsSolutions-COG2", "A second factor is each person's choice, as asked for.")
        return pool

    def _client(self) -> cognito.CfnUserPoolClient:
        units = cognito.CfnUserPoolClient.TokenValidityUnitsProperty(
            access_token="minutes", id_token="minutes", refresh_token="days"
        )
        return cognito.CfnUserPoolClient(
            self,
            "AppClient",
            user_pool_id=self.pool.ref,
            client_name="shop",
            generate_secret=False,
            explicit_auth_flows=["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            prevent_user_existence_errors="ENABLED",
            enable_token_revocation=True,
            access_token_validity=ACCESS_MINUTES,
            id_token_validity=ACCESS_MINUTES,
            refresh_token_validity=REFRESH_DAYS,
            token_validity_units=units,
        )
