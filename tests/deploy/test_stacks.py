"""What an operator or an auditor counts on in the stacks, property by property."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from deploy.aws import machines
from deploy.aws.settings import read, regions
from storekeeper.config import SettingsError, load
from storekeeper.store.dynamodb.tables import TABLES, Table, creation
from tests.deploy.templates import Assembly
from tests.deploy.test_machines import PLACES
from tests.deploy.test_settings import GOOD

SECRET = {"STOREKEEPER_SECRET_KEY": "k" * 64}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_are_what_the_application_says(full: Assembly, table: Table) -> None:
    wanted = creation(table, "storekeeper-full-")
    (made,) = (
        one
        for one in full.of_type("data", "DynamoDB::Table").values()
        if one["TableName"] == wanted["TableName"]
    )
    assert {name: made[name] for name in wanted} == wanted
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert made["SSESpecification"] == {"SSEEnabled": True}
    expiry = {"Enabled": True, "AttributeName": table.ttl} if table.ttl else None
    assert made.get("TimeToLiveSpecification") == expiry


def test_nothing_of_a_protected_shop_is_lost_by_removing_a_stack(full: Assembly) -> None:
    kinds = ("DynamoDB::Table", "S3::Bucket", "Backup::BackupVault", "Logs::LogGroup")
    for _, name, resource in full.all():
        if resource["Type"].removeprefix("AWS::") in kinds:
            kept = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
            # A first try that fails leaves nothing whose name the next would find taken.
            wanted = ("RetainExceptOnCreate", "Retain")
            assert kept == wanted or name.startswith("RenewalLog"), name
        assert resource.get("DeletionPolicy") != "Retain", name
    for one in full.of_type("data", "DynamoDB::Table").values():
        assert one["DeletionProtectionEnabled"] == {"Fn::If": ["IsGuarded", True, False]}
    pool = full.the("identity", "Cognito::UserPool")
    assert pool["DeletionProtection"] == {"Fn::If": ["IsGuarded", "ACTIVE", "INACTIVE"]}
    for stack in ("data", "identity", "compute"):
        assert full.templates[stack]["Parameters"]["Guarded"]["Default"] == "true"


def test_a_shop_to_try_things_out_can_be_removed(least: Assembly) -> None:
    for one in least.of_type("data", "DynamoDB::Table").values():
        assert one["DeletionProtectionEnabled"] is False
    assert not [
        name
        for _, name, resource in least.all()
        if resource.get("DeletionPolicy", "").startswith("Retain")
    ]
    assert "Guarded" not in json.dumps(dict(least.templates))


def test_every_bucket_is_private_encrypted_and_reached_by_tls_alone(full: Assembly) -> None:
    for stack in ("data", "releases"):
        buckets = full.of_type(stack, "S3::Bucket")
        policies = json.dumps(full.of_type(stack, "S3::BucketPolicy"))
        for name, bucket in buckets.items():
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert bucket["BucketEncryption"]
            assert name in policies
        assert policies.count('"aws:SecureTransport": "false"') == len(buckets)
    assert len(full.of_type("data", "S3::Bucket")) == 3


def test_what_the_shop_erases_is_kept_in_no_version(full: Assembly) -> None:
    for bucket in full.of_type("data", "S3::Bucket").values():
        assert "VersioningConfiguration" not in bucket


def test_the_log_is_backed_up_each_day(full: Assembly) -> None:
    selection = full.the("data", "Backup::BackupSelection")["BackupSelection"]
    assert selection["Resources"] == [{"Fn::GetAtt": ["CommitsTable", "Arn"]}]
    (rule,) = full.the("data", "Backup::BackupPlan")["BackupPlan"]["BackupPlanRule"]
    assert rule["Lifecycle"] == {"DeleteAfterDays": 35}


def test_exports_may_do_what_dynamodb_asks_for(full: Assembly) -> None:
    (policy,) = (
        json.dumps(one["PolicyDocument"])
        for one in full.of_type("data", "IAM::Policy").values()
        if "ExportTableToPointInTime" in json.dumps(one)
    )
    for action in ("s3:PutObject", "s3:PutObjectAcl", "s3:AbortMultipartUpload"):
        assert f'"{action}"' in policy


def test_a_backup_can_be_restored_by_a_role_that_is_there_before_it_is_needed(
    full: Assembly,
) -> None:
    roles = full.of_type("data", "IAM::Role")
    name = full.templates["data"]["Outputs"]["RestoreRole"]["Value"]["Fn::GetAtt"][0]
    assert "AWSBackupServiceRolePolicyForRestores" in json.dumps(roles[name])
    daily = json.dumps([role for other, role in roles.items() if other != name])
    assert "ForRestores" not in daily


def test_machines_are_hard_to_misuse(full: Assembly) -> None:
    data = full.the("compute", "EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert [one["Ebs"]["Encrypted"] for one in data["BlockDeviceMappings"]] == [True]
    # Looked up for each machine that is made: `{{resolve:ssm:…}}` would be, once, for the stack.
    assert data["ImageId"].startswith("resolve:ssm:/aws/service/")
    assert "al2023" in data["ImageId"]
    assert data["ImageId"].endswith("arm64")
    assert data["InstanceType"].partition(".")[0].endswith("g")


def test_a_new_release_comes_one_machine_at_a_time_and_goes_back_if_it_must(
    full: Assembly,
) -> None:
    group = full.templates["compute"]["Resources"]["Machines"]
    least = int(group["Properties"]["MinSize"])
    rolling = group["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert rolling["WaitOnResourceSignals"] is True
    assert rolling["MaxBatchSize"] == 1
    assert rolling["MinSuccessfulInstancesPercent"] == 100
    assert rolling["MinInstancesInService"] == least < int(group["Properties"]["MaxSize"])
    alarms = json.dumps(full.templates["compute"]["Outputs"]["RollbackAlarms"])
    for name in full.of_type("compute", "CloudWatch::Alarm"):
        assert name in alarms


def test_a_machine_that_is_too_old_goes_when_its_successor_serves(full: Assembly) -> None:
    group = full.the("compute", "AutoScaling::AutoScalingGroup")
    policy = group["InstanceMaintenancePolicy"]
    assert policy["MinHealthyPercentage"] == 100
    assert int(group["MinSize"]) * policy["MaxHealthyPercentage"] // 100 > int(group["MinSize"])


def test_machines_are_asked_whether_they_are_ready_and_drained(full: Assembly) -> None:
    targets = full.the("compute", "ElasticLoadBalancingV2::TargetGroup")
    assert targets["HealthCheckPath"] == "/readyz"
    assert {
        "Key": "deregistration_delay.timeout_seconds",
        "Value": "30",
    } in targets["TargetGroupAttributes"]
    assert full.the("compute", "AutoScaling::AutoScalingGroup")["HealthCheckType"] == "ELB"


def test_the_balancer_ends_idle_connections_before_the_shop_does(full: Assembly) -> None:
    """Else it sends a request into one that just ends, and the customer gets a 502."""
    balancer = full.the("compute", "ElasticLoadBalancingV2::LoadBalancer")
    attributes = {one["Key"]: one["Value"] for one in balancer["LoadBalancerAttributes"]}
    shop = load(environ={**machines.settings(read(GOOD), PLACES), **SECRET})
    assert shop.keep_alive_seconds > int(attributes["idle_timeout.timeout_seconds"])


def test_there_is_no_way_past_the_gateway(full: Assembly) -> None:
    assert full.the("compute", "ElasticLoadBalancingV2::LoadBalancer")["Scheme"] == "internal"
    assert full.the("gateway", "ApiGatewayV2::Api")["DisableExecuteApiEndpoint"] is True
    shop = full.the("gateway", "ApiGatewayV2::Integration")
    assert shop["ConnectionType"] == "VPC_LINK"
    assert shop["TlsConfig"] == {"ServerNameToVerify": "shop.example.com"}
    assert full.the("compute", "ElasticLoadBalancingV2::Listener")["Protocol"] == "HTTPS"


def test_the_shop_is_told_who_asks_in_a_header_that_no_customer_can_write(full: Assembly) -> None:
    shop = full.the("gateway", "ApiGatewayV2::Integration")
    told = load(environ={**machines.settings(read(GOOD), PLACES), **SECRET})
    assert told.client_header
    assert shop["RequestParameters"] == {
        f"overwrite:header.{told.client_header}": "$context.identity.sourceIp"
    }
    network = ipaddress.ip_network(full.the("network", "EC2::VPC")["CidrBlock"])
    assert [ipaddress.ip_network(one) for one in told.trusted_proxies] == [network]


def test_other_origins_are_those_of_the_configuration(full: Assembly, least: Assembly) -> None:
    cors = full.the("gateway", "ApiGatewayV2::Api")["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://www.example.com"]
    assert "CorsConfiguration" not in least.the("gateway", "ApiGatewayV2::Api")


def test_the_gateways_log_is_json(full: Assembly) -> None:
    form = full.the("gateway", "ApiGatewayV2::Stage")["AccessLogSettings"]["Format"]
    assert json.loads(form)["status"] == "$context.status"


def test_topics_are_encrypted_and_what_is_lost_is_kept(full: Assembly) -> None:
    topics = full.of_type("notifications", "SNS::Topic")
    assert {one["TopicName"].removeprefix("storekeeper-full-") for one in topics.values()} == {
        "orders",
        "stock",
        "operations",
        "pages",
    }
    assert all(one["KmsMasterKeyId"] for one in topics.values())
    subscriptions = full.of_type("notifications", "SNS::Subscription").values()
    assert all(one["RedrivePolicy"] for one in subscriptions)
    assert sorted(one["Endpoint"] for one in subscriptions) == [
        "on-call@example.com",
        "ops@example.com",
        "ops@example.com",
    ]


def test_only_alarms_of_this_account_reach_operators(full: Assembly) -> None:
    statements = [
        statement
        for policy in full.of_type("notifications", "SNS::TopicPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert len(statements) == 2
    for one in statements:
        assert one["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert one["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }


def test_every_log_ends(full: Assembly) -> None:
    groups = [
        one for stack in full.templates for one in full.of_type(stack, "Logs::LogGroup").values()
    ]
    assert len(groups) == 4
    assert {one["RetentionInDays"] for one in groups} == {90}


def test_people_of_the_pool(full: Assembly, least: Assembly) -> None:
    pool = full.the("identity", "Cognito::UserPool")
    assert pool["MfaConfiguration"] == "OPTIONAL"
    assert pool["Policies"]["PasswordPolicy"]["MinimumLength"] >= 12
    groups = full.of_type("identity", "Cognito::UserPoolGroup").values()
    assert {one["GroupName"] for one in groups} == {"admins", "staff"}
    client = full.the("identity", "Cognito::UserPoolClient")
    # The shop tells the log-ins of a pool apart by what revocation puts into tokens.
    assert client["EnableTokenRevocation"] is True
    assert "identity" not in least.templates


def test_the_cache_has_bounds_and_one_user_with_a_password(full: Assembly, least: Assembly) -> None:
    cache = full.the("cache", "ElastiCache::ServerlessCache")
    assert cache["Engine"] == "valkey"
    assert cache["CacheUsageLimits"]["DataStorage"] == {"Maximum": 1, "Unit": "GB"}
    assert "resolve:secretsmanager" in json.dumps(full.the("cache", "ElastiCache::User"))
    assert "cache" not in least.templates


def test_the_firewall_stands_before_the_balancer(full: Assembly, least: Assembly) -> None:
    association = full.the("compute", "WAFv2::WebACLAssociation")
    assert "LoadBalancer" in json.dumps(association["ResourceArn"])
    assert not least.of_type("compute", "WAFv2::WebACL")


def test_a_machine_knows_every_key_before_it_signs(full: Assembly) -> None:
    """Keys are renewed less often than machines are."""
    rules = full.the("secrets", "SecretsManager::RotationSchedule")["RotationRules"]
    days = int(rules["ScheduleExpression"].removeprefix("rate(").removesuffix(" days)"))
    age = full.the("compute", "AutoScaling::AutoScalingGroup")["MaxInstanceLifetime"]
    assert age < days * 86_400


def test_templates_are_small_enough_to_be_sent(full: Assembly) -> None:
    for stack, template in full.templates.items():
        assert len(json.dumps(template)) < 51_200, stack


def test_the_longest_name_that_an_environment_may_have_fits_everywhere(full: Assembly) -> None:
    """What AWS takes of each kind of name; `staging-berlin` once failed after half an hour."""
    longest = "a" * next(
        length for length in range(40, 0, -1) if not refused({**GOOD, "name": "a" * length})
    )
    region = max(regions(), key=len)
    account = "123456789012"
    limits = {
        "ElasticLoadBalancingV2::TargetGroup": ("Name", 32),
        "ElasticLoadBalancingV2::LoadBalancer": ("Name", 32),
        "S3::Bucket": ("BucketName", 63),
        "ElastiCache::ServerlessCache": ("ServerlessCacheName", 40),
        "ElastiCache::User": ("UserId", 40),
        "ElastiCache::UserGroup": ("UserGroupId", 40),
        "IAM::Role": ("RoleName", 64),
        "Lambda::Function": ("FunctionName", 64),
        "Backup::BackupVault": ("BackupVaultName", 50),
        "Backup::BackupPlan": ("BackupPlanName", 50),
        "SQS::Queue": ("QueueName", 80),
    }
    seen = set()
    for _, _, resource in full.all():
        key, most = limits.get(resource["Type"].removeprefix("AWS::"), ("", 0))
        value = resource.get("Properties", {}).get(key, "")
        if not value:
            continue
        parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
        text = "".join(one if isinstance(one, str) else account for one in parts)
        name = text.replace("-full-", f"-{longest}-").replace("eu-west-1", region)
        assert len(name) <= most, name
        seen.add(key)
    assert {"Name", "BucketName", "RoleName", "UserId"} <= seen
    assert len(longest) == 11


def refused(values: dict[str, Any]) -> bool:
    try:
        read(values)
    except SettingsError:
        return True
    return False


def test_every_stack_says_what_it_is(full: Assembly) -> None:
    for template in full.templates.values():
        assert template["Description"].startswith("Storekeeper (full): ")
