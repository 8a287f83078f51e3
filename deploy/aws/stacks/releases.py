"""The bucket that releases and templates are put into: made first, so that the rest can be made."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept

KEPT_DAYS = 180


class Releases(Stack):
    """One private bucket. A release is named by its hash and never changes."""

    def __init__(self, scope: Construct, given: Environment) -> None:
        super().__init__(scope, "releases", given, about="releases of the shop, templates")
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=self.bucket_name("releases"),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            versioned=True,
            removal_policy=self.kept,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                    noncurrent_version_expiration=cdk.Duration.days(KEPT_DAYS),
                )
            ],
        )
        accept(
            self.bucket,
            "AwsSolutions-S1",
            "It is made before any other; machines check what they take from it by its hash.",
        )
        self.output("BucketName", self.bucket.bucket_name, "releases/ and templates/")
