"""All stacks of one environment, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from deploy.aws.machines import Places
from deploy.aws.routes import Route
from deploy.aws.settings import Environment
from deploy.aws.stacks.cache import Cache
from deploy.aws.stacks.compute import Compute
from deploy.aws.stacks.data import Data
from deploy.aws.stacks.gateway import Gateway
from deploy.aws.stacks.identity import Identity
from deploy.aws.stacks.monitoring import Monitoring
from deploy.aws.stacks.network import Network
from deploy.aws.stacks.notifications import Notifications
from deploy.aws.stacks.permissions import Permissions
from deploy.aws.stacks.releases import Releases
from deploy.aws.stacks.secrets import Secrets

# Ways of the CDK that are newer than its defaults.
FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-iam:minimizePolicies": False,
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    "@aws-cdk/core:target-partitions": ["aws"],
}


def add_stacks(app: cdk.App, given: Environment, routes: Sequence[Route]) -> None:
    """What isn't wanted isn't made."""
    releases = Releases(app, given)
    data = Data(app, given)
    notifications = Notifications(app, given)
    secrets = Secrets(app, given)
    network = Network(app, given)
    identity = Identity(app, given) if given.cognito != "off" else None
    cache = Cache(app, given, network=network, secrets=secrets) if given.cache else None
    permissions = Permissions(
        app, given, data=data, notifications=notifications, secrets=secrets, releases=releases
    )
    compute = Compute(
        app,
        given,
        network=network,
        data=data,
        notifications=notifications,
        permissions=permissions,
        releases=releases,
        places=_places(given, data, notifications, secrets, identity, cache),
    )
    gateway = Gateway(
        app, given, network=network, compute=compute, identity=identity, routes=routes
    )
    Monitoring(app, given, notifications=notifications, compute=compute, gateway=gateway)


def synthesize(
    given: Environment, routes: Sequence[Route], folder: Path
) -> cdk.cx_api.CloudAssembly:
    """The templates, in `folder`; the AwsSolutions checks' report beside them."""
    app = cdk.App(outdir=str(folder), analytics_reporting=False, context=FLAGS)
    cdk.Tags.of(app).add("application", "storekeeper")
    cdk.Tags.of(app).add("environment", given.name)
    add_stacks(app, given, routes)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app.synth()


def _places(
    given: Environment,
    data: Data,
    notifications: Notifications,
    secrets: Secrets,
    identity: Identity | None,
    cache: Cache | None,
) -> Places:
    return Places(
        orders_topic=notifications.orders.topic_arn,
        stock_topic=notifications.stock.topic_arn,
        files_bucket=data.bucket_name("files"),
        signing_keys=secrets.signing.ref,
        cache_password=secrets.cache_password.ref if cache else "",
        cache_address=cache.address if cache else "",
        mail_password=secrets.mail_password.ref if given.mail else "",
        user_pool=identity.pool.ref if identity else "",
        client=identity.client.ref if identity else "",
    )
