"""Numbers and names that several parts share; nothing of the CDK, which takes seconds to load."""

from __future__ import annotations

CIDR = "10.20.0.0/16"
APP_PORT = 8_000
ZONES = 2
# The parameter of stacks with something that can't be deleted while it is "true", and the condition.
GUARD, GUARDED = "Guarded", "IsGuarded"
# Parameters of the stack `network` where machines may reach DynamoDB and S3 and no other address:
# AWS's lists of these services' addresses, whose ids differ from region to region.
PREFIX_LISTS = {"DynamoDbAddresses": "dynamodb", "S3Addresses": "s3"}
# Stacks that an environment may be without.
OPTIONAL = ("cache", "identity")
# Where the gateway tells the shop who asks. The balancer's X-Forwarded-For has the gateway's link.
CLIENT_HEADER = "X-Client-IP"
# The user pool's groups, and what they make of their members (docs/cognito.md).
GROUPS = {"admins": "admin", "staff": "staff"}
# Of each machine; far below what a core does (docs/benchmarks.md), so that new ones come in time.
REQUESTS_A_MINUTE = 30_000
# Services with an interface endpoint: what machines speak to beside DynamoDB and S3.
INTERFACES = {
    "Sns": "sns",
    "Metrics": "monitoring",
    "Logs": "logs",
    "Secrets": "secretsmanager",
    "Ssm": "ssm",
    "SsmMessages": "ssmmessages",
    "Formation": "cloudformation",
}
POOL_INTERFACE = {"Pool": "cognito-idp"}
MAIL_INTERFACE = {"Mail": "email-smtp"}
