"""What a machine is told when it starts, and that the shop takes it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import botocore.session
import pytest

from deploy.aws import machines, rotation
from deploy.aws.settings import read
from storekeeper.config import load
from tests.deploy import units
from tests.deploy.templates import Assembly
from tests.deploy.test_settings import GOOD, MAIL
from tests.deploy.told import as_systemd_reads
from tests.support import local_engines, role

CURRENT, NEXT, PREVIOUS = "c" * 64, "n" * 64, "p" * 64
# With what a file that systemd reads could take for its own.
MAIL_PASSWORD = "a\"b\\c #d$e='"
PLACES = machines.Places(
    orders_topic="arn:aws:sns:eu-west-1:123456789012:storekeeper-test-orders",
    stock_topic="arn:aws:sns:eu-west-1:123456789012:storekeeper-test-stock",
    files_bucket="storekeeper-test-files-123456789012-eu-west-1",
    signing_keys="arn:aws:secretsmanager:eu-west-1:123456789012:secret:keys",
    cache_password="arn:aws:secretsmanager:eu-west-1:123456789012:secret:cache",
    cache_address="cache.abc123.serverless.euw1.cache.amazonaws.com:6379/0",
    user_pool="eu-west-1_AbCdEf123",
    client="4webclient5",
    mail_password="arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail",
)


def fetch_secrets() -> ModuleType:
    """The script as it lies on machines, where it is no part of a package."""
    spec = importlib.util.spec_from_file_location(
        "fetch_secrets", machines.FOLDER / "fetch_secrets.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shop_takes_the_settings_and_keys_of_a_machine() -> None:
    given = read({**GOOD, **MAIL, "cognito": "beside", "cache": True})
    keys = {"current": CURRENT, "next": NEXT, "previous": PREVIOUS}
    secrets = fetch_secrets().lines(keys, "secret", PLACES.cache_address, MAIL_PASSWORD)
    text = machines.env_file(machines.settings(given, PLACES)) + "\n" + "\n".join(secrets)
    found = load(environ=as_systemd_reads(text))
    assert (found.store, found.dynamodb_prefix) == ("dynamodb", "storekeeper-test-")
    assert found.secret_key == CURRENT
    assert found.old_secret_keys == (NEXT, PREVIOUS)
    assert found.cache_url == f"valkeys://shop:secret@{PLACES.cache_address}"
    assert found.cognito_roles == {"admins": "admin", "staff": "staff"}
    assert found.public_url == "https://shop.example.com"
    # Without a host the shop sends nothing, and says nothing of it.
    assert (found.smtp_host, found.smtp_port) == ("email-smtp.eu-west-1.amazonaws.com", 587)
    assert (found.smtp_user, found.smtp_password) == ("AKIAEXAMPLE", MAIL_PASSWORD)
    assert (found.smtp_tls, found.mail_from) == ("starttls", "shop@example.com")


def test_keys_and_passwords_may_hold_any_sign() -> None:
    """Secrets Manager puts punctuation into what it makes, and so do people, unless told not to."""
    key = """ "two' #signs; $HOME `id` \\ and = so on, """.ljust(64, "*")
    lines = fetch_secrets().lines({"current": key}, "a/b@c:d?e#f%41", "cache.example.com:6379/0")
    found = load(environ={"STOREKEEPER_STORE": "dynamodb", **as_systemd_reads("\n".join(lines))})
    assert found.secret_key == key
    assert urlsplit(found.cache_url).hostname == "cache.example.com"
    assert unquote(urlsplit(found.cache_url).password or "") == "a/b@c:d?e#f%41"


@pytest.mark.parametrize("address", ["", PLACES.cache_address], ids=["alone", "with a cache"])
@pytest.mark.parametrize("password", ["", MAIL_PASSWORD], ids=["no mail", "with mail"])
def test_each_secret_is_fetched_by_its_own_name_for_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, password: str
) -> None:
    local_engines.use_local_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_engines.url("ministack"))
    own: Any = botocore.session.get_session().create_client("secretsmanager")
    kept = json.dumps({"current": CURRENT, "next": NEXT, "previous": PREVIOUS})

    def hidden(secret: str) -> str:
        return own.create_secret(Name=uuid4().hex, SecretString=secret)["ARN"] if secret else ""

    places = PLACES._replace(
        signing_keys=hidden(kept),
        mail_password=hidden(password and f"{password}\n"),
        cache_password=hidden("secret\n") if address else "",
        cache_address=address,
    )
    for name, value in machines.secrets(read(GOOD), places).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(botocore.session, "get_session", role.watched_session)
    target = tmp_path / "keys.env"
    fetch_secrets().main(target)
    mail = {"STOREKEEPER_SMTP_PASSWORD": password} if password else {}
    cache = {"STOREKEEPER_CACHE_URL": f"valkeys://shop:secret@{address}"} if address else {}
    assert as_systemd_reads(target.read_text()) == {
        "STOREKEEPER_SECRET_KEY": CURRENT,
        "STOREKEEPER_OLD_SECRET_KEYS": f"{NEXT},{PREVIOUS}",
        **mail,
        **cache,
    }
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_tokens_are_taken_through_a_renewal_of_keys() -> None:
    """A machine with the keys before, and one with those after, take each other's tokens."""
    before = rotation.renewed({"current": CURRENT, "next": "", "previous": ""})
    assert before["current"] == CURRENT
    for _ in range(3):
        after = rotation.renewed(before)
        assert after["current"] in before.values()
        assert before["current"] in after.values()
        assert len(set(after.values())) == 3
        assert min(map(len, after.values())) >= 32
        before = after


class NoValue(Exception):
    """There is a version, and nothing in it."""


class Vault:
    """As much of Secrets Manager as a rotation asks for."""

    exceptions = SimpleNamespace(ResourceNotFoundException=NoValue)

    def __init__(self, keys: dict[str, str]) -> None:
        self.values = {"old": json.dumps(keys)}
        self.stages = {"old": ["AWSCURRENT"], "new": ["AWSPENDING"]}

    def describe_secret(self, **given: Any) -> dict[str, Any]:
        return {"VersionIdsToStages": self.stages}

    def get_secret_value(self, **given: Any) -> dict[str, str]:
        (current,) = (one for one, at in self.stages.items() if "AWSCURRENT" in at)
        version = given.get("VersionId", current)
        if version not in self.values:
            raise NoValue
        return {"SecretString": self.values[version]}

    def put_secret_value(self, **given: Any) -> None:
        self.values[given["ClientRequestToken"]] = given["SecretString"]

    def update_secret_version_stage(self, **given: Any) -> None:
        self.stages[given["RemoveFromVersionId"]].remove(given["VersionStage"])
        self.stages[given["MoveToVersionId"]] = [given["VersionStage"]]


def test_a_rotation_may_be_tried_again_at_any_step() -> None:
    vault = Vault({"current": CURRENT, "next": NEXT, "previous": PREVIOUS})
    for step in ("createSecret", "createSecret", "setSecret", "testSecret", "finishSecret") * 2:
        event = {"SecretId": "keys", "ClientRequestToken": "new", "Step": step}
        rotation.handler(event, None, vault)
    keys = json.loads(vault.values["new"])
    assert (keys["current"], keys["previous"]) == (NEXT, CURRENT)
    assert vault.stages == {"old": [], "new": ["AWSCURRENT"]}


def test_keys_that_would_end_every_session_are_refused() -> None:
    vault = Vault({"current": CURRENT, "next": NEXT, "previous": PREVIOUS})
    vault.values["new"] = json.dumps({"current": "x" * 64, "next": "y" * 64, "previous": ""})
    event = {"SecretId": "keys", "ClientRequestToken": "new", "Step": "testSecret"}
    with pytest.raises(ValueError, match="would not be taken"):
        rotation.handler(event, None, vault)


def test_a_function_of_lambda_is_short_enough_to_lie_in_the_template() -> None:
    assert len(Path(rotation.__file__).read_text()) <= 4_096


def start_of(full: Assembly) -> str:
    """What a machine runs first; values of other stacks have a stand-in."""
    data = full.the("compute", "EC2::LaunchTemplate")["LaunchTemplateData"]
    parts = data["UserData"]["Fn::Base64"]["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else "VALUE" for part in parts)


def test_the_start_of_a_machine_is_a_script_without_gaps(full: Assembly, tmp_path: Path) -> None:
    script = start_of(full)
    # What EC2 takes; the values are longer than their stand-in.
    assert len(script) < 12_000
    assert not re.findall("@[A-Z]+@", script)
    file = tmp_path / "start.sh"
    file.write_text(script)
    subprocess.run(["bash", "-n", str(file)], check=True, timeout=10)


def test_a_machine_says_ready_when_the_balancer_counts_it(full: Assembly) -> None:
    """Else an update ends old machines while the new ones get no customers yet."""
    targets = full.the("compute", "ElasticLoadBalancingV2::TargetGroup")
    looks = targets["HealthCheckIntervalSeconds"] * targets["HealthyThresholdCount"]
    found = re.search(r""" "\$ready" -ge '(\d+)' """, start_of(full))
    assert found is not None
    assert looks + targets["HealthCheckTimeoutSeconds"] <= int(found[1]) < 60


def test_the_release_is_believed_by_its_hash_alone() -> None:
    script = (machines.FOLDER / "start.sh").read_text()
    checked, unpacked = script.index("sha256sum --check"), script.index("tar --extract")
    assert script.index("aws s3 cp") < checked < unpacked < script.index("./install.sh")
    assert "--require-hashes" in (machines.FOLDER / "install.sh").read_text()


@pytest.mark.parametrize("reached", ["dnf", "aws"])
def test_a_machine_that_cannot_start_says_why_before_it_goes(tmp_path: Path, reached: str) -> None:
    """It is ended by the rollback, and its log with it."""
    script = machines.start_script(
        {
            "STACK": "compute",
            "GROUP": "Machines",
            "REGION": "eu-west-1",
            "BUCKET": "releases",
            "RELEASE": "0" * 64,
            "SETTINGS": "",
            "SECRETS": "",
            "AGENT": "{}",
            "STEADY": "0",
        }
    )
    for place in ("/var/log", "/var/lib", "/etc", "/opt/aws/bin", "/dev/console"):
        script = script.replace(place, f"{tmp_path}{place}")
    for folder in ("var/log", "var/lib", "etc", "opt/aws/bin", "dev", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("dnf", "aws"):
        fails = 'echo "no route to $1" >&2; exit 1' if name == reached else "exit 0"
        program(tmp_path / "bin" / name, fails)
    program(tmp_path / "opt/aws/bin/cfn-signal", f'printf "%s\\n" "$@" >{tmp_path}/signal')
    ended = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
        timeout=20,
        check=False,
    )
    assert ended.returncode != 0
    told = (tmp_path / "signal").read_text()
    cause = "no route to install" if reached == "dnf" else "no route to s3"
    assert told.startswith("--exit-code\n1\n--reason\nthe machine could not be set up: ")
    assert cause in told.splitlines()[3]
    assert cause in (tmp_path / "dev/console").read_text()


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_agent_sends_the_log_where_the_stack_keeps_it(full: Assembly) -> None:
    agent = machines.agent(read({**GOOD, "name": "full"}))
    file, start = agent["logs"]["logs_collected"]["files"]["collect_list"]
    groups = full.of_type("data", "Logs::LogGroup").values()
    for one in (file, start):
        assert one["log_group_name"] in {group["LogGroupName"] for group in groups}
    # How its start went outlives a machine that the rollback ends.
    assert file["log_stream_name"] != start["log_stream_name"]
    assert f"exec >>{start['file_path']}" in (machines.FOLDER / "start.sh").read_text()
    unit = (machines.FOLDER / "storekeeper.service").read_text()
    assert f"StandardError=append:{file['file_path']}" in unit
    assert f"{file['file_path']} {{" in (machines.FOLDER / "logrotate.conf").read_text()


def test_the_units_are_sound_and_give_the_shop_little_to_misuse(tmp_path: Path) -> None:
    names = ("storekeeper.service", "storekeeper-secrets.service")
    units.judge(tmp_path, [machines.FOLDER / name for name in names], exposure=20)
