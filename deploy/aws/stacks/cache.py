"""A cache that machines share: ElastiCache for Valkey, serverless. The shop goes on without it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_elasticache as elasticache
from constructs import Construct

from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack
from deploy.aws.stacks.network import VALKEY, Network
from deploy.aws.stacks.secrets import Secrets

USER = "shop"
# Bounds of what it may cost.
MOST_GB = 1
MOST_UNITS_PER_SECOND = 5_000
# What the shop asks: single keys, and one script of its own (docs/cache.md).
ACCESS = "on ~* -@all +@read +@write +@connection +@scripting"


class Cache(Stack):
    """The cache, and the one user that may use it."""

    def __init__(
        self, scope: Construct, given: Environment, *, network: Network, secrets: Secrets
    ) -> None:
        super().__init__(scope, "cache", given, about="shared cache")
        user = elasticache.CfnUser(
            self,
            "User",
            engine="valkey",
            user_id=f"{given.prefix}shop",
            user_name=USER,
            access_string=ACCESS,
            authentication_mode={
                "Type": "password",
                "Passwords": [
                    cdk.SecretValue.secrets_manager(secrets.cache_password.ref).unsafe_unwrap()
                ],
            },
        )
        users = elasticache.CfnUserGroup(
            self,
            "Users",
            engine="valkey",
            user_group_id=f"{given.prefix}users",
            user_ids=[user.ref],
        )
        kind = elasticache.CfnServerlessCache
        self.cache = kind(
            self,
            "Valkey",
            engine="valkey",
            major_engine_version="8",
            serverless_cache_name=f"{given.prefix}cache",
            description="Products, pages, sessions and request rates that machines share",
            security_group_ids=[network.cache.security_group_id],
            subnet_ids=network.machine_subnets.subnet_ids,
            user_group_id=users.ref,
            cache_usage_limits=kind.CacheUsageLimitsProperty(
                data_storage=kind.DataStorageProperty(unit="GB", maximum=MOST_GB),
                ecpu_per_second=kind.ECPUPerSecondProperty(maximum=MOST_UNITS_PER_SECOND),
            ),
        )
        # Without the password, which machines take from its secret.
        self.address = f"{self.cache.attr_endpoint_address}:{VALKEY}/0"
        self.output("Address", self.address, "where the cache is")
