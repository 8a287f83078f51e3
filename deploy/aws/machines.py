"""What a machine is told: its settings, where its keys are, and the script that it starts with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.aws.fixed import APP_PORT, CIDR, CLIENT_HEADER, GROUPS
from deploy.aws.machine.fetch_secrets import quoted
from deploy.aws.rights import MACHINE_NAMESPACE
from deploy.aws.settings import Environment

FOLDER = Path(__file__).parent / "machine"
AGENT = Path(__file__).parents[1] / "cloudwatch-agent.json"
LOG_FILE = "/var/log/storekeeper.log"
START_LOG = "/var/log/storekeeper-start.log"
# Of CloudWatch's agent: each is one metric for the whole environment, the worst machine's.
DISK, MEMORY = "disk_used_percent", "mem_used_percent"
# A value of each, of each machine; alarms count them.
AGENT_S = 60


class Places(NamedTuple):
    """What the stacks made. Empty: there is none."""

    orders_topic: str
    stock_topic: str
    files_bucket: str
    signing_keys: str
    cache_password: str = ""
    cache_address: str = ""
    user_pool: str = ""
    client: str = ""
    mail_password: str = ""


def settings(given: Environment, at: Places) -> dict[str, str]:
    """The shop's settings (`config.settings`), but for its keys."""
    found = {
        "store": "dynamodb",
        "dynamodb_prefix": given.prefix,
        "database": "/var/lib/storekeeper/shop.db",
        "aws_region": given.region,
        "snapshot_bucket": at.files_bucket,
        "image_bucket": at.files_bucket,
        "sns_orders_topic": at.orders_topic,
        "sns_stock_topic": at.stock_topic,
        "cloudwatch_namespace": given.namespace,
        "host": "0.0.0.0",  # the security group lets the load balancer in alone
        "port": str(APP_PORT),
        "workers": str(given.machines.processes),
        "public_url": f"https://{given.domain}",
        "shop_name": given.shop_name,
        "currency": given.currency,
        "trusted_proxies": CIDR,
        "client_header": CLIENT_HEADER,
    }
    if given.mail is not None:
        found |= {
            "mail_from": given.mail_from,
            "smtp_host": given.mail.host,
            "smtp_port": str(given.mail.port),
            "smtp_user": given.mail.user,
            "smtp_tls": given.mail.tls,
        }
    if at.user_pool:
        found |= {
            "cognito_user_pool_id": at.user_pool,
            "cognito_client_ids": at.client,
            "cognito_groups": ",".join(f"{group}={role}" for group, role in GROUPS.items()),
        }
    return {f"STOREKEEPER_{name.upper()}": value for name, value in found.items()}


def secrets(given: Environment, at: Places) -> dict[str, str]:
    """Where `fetch_secrets.py` finds the keys."""
    found = {"REGION": given.region, "SIGNING_KEYS": at.signing_keys}
    if at.cache_address:
        found |= {"CACHE_PASSWORD": at.cache_password, "CACHE_ADDRESS": at.cache_address}
    if at.mail_password:
        found["MAIL_PASSWORD"] = at.mail_password
    return found


def start_script(filled: Mapping[str, str]) -> str:
    """`machine/start.sh` with its @NAMES@ filled in."""
    script = (FOLDER / "start.sh").read_text()
    for name, value in filled.items():
        assert f"@{name}@" in script, name
        script = script.replace(f"@{name}@", value)
    return script


def env_file(values: Mapping[str, str]) -> str:
    """As systemd reads it, and as no shell does."""
    return "\n".join(f"{name}={quoted(value)}" for name, value in values.items())


def log_group(given: Environment) -> str:
    return f"/storekeeper/{given.name}/shop"


def agent(given: Environment) -> dict[str, Any]:
    """The configuration of CloudWatch's agent: the log as `deploy/cloudwatch-agent.json` sends it,
    into this environment's group, beside it how the machine's start went, and how full memory and
    disk are."""
    found: dict[str, Any] = json.loads(AGENT.read_text())
    files = found["logs"]["logs_collected"]["files"]["collect_list"]
    (file,) = files
    file |= {"file_path": LOG_FILE, "log_group_name": log_group(given)}
    # The group and how long it is kept are the stack's.
    del file["retention_in_days"]
    files.append(
        {
            "file_path": START_LOG,
            "log_group_name": log_group(given),
            "log_stream_name": f"{file['log_stream_name']}-start",
        }
    )
    where = {"environment": given.name}
    found["agent"] = {
        "omit_hostname": True,
        "region": given.region,
        "metrics_collection_interval": AGENT_S,
    }
    found["metrics"] = {
        "namespace": MACHINE_NAMESPACE,
        "aggregation_dimensions": [list(where)],
        "metrics_collected": {
            "mem": {"measurement": [MEMORY], "append_dimensions": where},
            "disk": {
                "measurement": ["used_percent"],
                "resources": ["/"],
                "drop_device": True,
                "ignore_file_system_types": ["tmpfs", "devtmpfs", "overlay"],
                "append_dimensions": where,
            },
        },
    }
    return found
