"""What a machine is told when it starts, and that the shop takes it."""

from __future__ import annotations

import importlib.util
import json
import shlex
import stat
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import uuid4

import botocore.session
import pytest

from deploy.aws import machines, rotation
from deploy.aws.settings import read
from storekeeper.config import load
from tests.deploy import units
from tests.deploy.templates import Assembly
from tests.deploy.test_settings import GOOD
from tests.support import local_engines, role

CURRENT, NEXT, PREVIOUS = "c" * 64, "n" * 64, "p" * 64
PLACES = machines.Places(
    orders_topic="arn:aws:sns:eu-west-1:123456789012:storekeeper-test-orders",
    stock_topic="arn:aws:sns:eu-west-1:123456789012:storekeeper-test-stock",
    files_bucket="storekeeper-test-files-123456789012-eu-west-1",
    signing_keys="arn:aws:secretsmanager:eu-west-1:123456789012:secret:keys",
    cache_password="arn:aws:secretsmanager:eu-west-1:123456789012:secret:cache",
    cache_address="cache.abc123.serverless.euw1.cache.amazonaws.com:6379/0",
    user_pool="eu-west-1_AbCdEf123",
    client="4webclient5",
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


def as_systemd_reads(text: str) -> dict[str, str]:
    """An EnvironmentFile: NAME=VALUE, quotes taken off."""
    pairs = (line.partition("=") for line in text.splitlines() if line)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def test_the_shop_takes_the_settings_and_keys_of_a_machine() -> None:
    given = read({**GOOD, "cognito": "beside", "cache": True, "mail_from": "shop@example.com"})
    keys = {"current": CURRENT, "next": NEXT, "previous": PREVIOUS}
    secrets = fetch_secrets().lines(keys, "secret", PLACES.cache_address)
    text = machines.env_file(machines.settings(given, PLACES)) + "\n" + "\n".join(secrets)
    found = load(environ=as_systemd_reads(text))
    assert (found.store, found.dynamodb_prefix) == ("dynamodb", "storekeeper-test-")
    assert found.secret_key == CURRENT
    assert found.old_secret_keys == (NEXT, PREVIOUS)
    assert found.cache_url == f"valkeys://shop:secret@{PLACES.cache_address}"
    assert found.cognito_roles == {"admins": "admin", "staff": "staff"}
    assert found.public_url == "https://shop.example.com"


@pytest.mark.parametrize("address", ["", PLACES.cache_address], ids=["alone", "with a cache"])
def test_keys_are_fetched_from_secrets_manager_for_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    local_engines.use_local_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_engines.url("ministack"))
    own: Any = botocore.session.get_session().create_client("secretsmanager")
    kept = json.dumps({"current": CURRENT, "next": NEXT, "previous": PREVIOUS})
    places = PLACES._replace(
        signing_keys=own.create_secret(Name=uuid4().hex, SecretString=kept)["ARN"],
        cache_password=own.create_secret(Name=uuid4().hex, SecretString="secret")["ARN"],
        cache_address=address,
    )
    for name, value in machines.secrets(read(GOOD), places).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(botocore.session, "get_session", role.watched_session)
    target = tmp_path / "keys.env"
    fetch_secrets().main(target)
    cache = [f"STOREKEEPER_CACHE_URL=valkeys://shop:secret@{address}"] if address else []
    assert target.read_text().splitlines() == [
        f"STOREKEEPER_SECRET_KEY={CURRENT}",
        f"STOREKEEPER_OLD_SECRET_KEYS={NEXT},{PREVIOUS}",
        *cache,
    ]
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


def test_the_start_of_a_machine_is_a_script_without_gaps(full: Assembly, tmp_path: Path) -> None:
    data = full.the("compute", "EC2::LaunchTemplate")["LaunchTemplateData"]
    parts = data["UserData"]["Fn::Base64"]["Fn::Join"][1]
    script = "".join(part if isinstance(part, str) else "VALUE" for part in parts)
    # What EC2 takes; the values are longer than their stand-in.
    assert len(script) < 12_000
    assert "@" not in script
    file = tmp_path / "start.sh"
    file.write_text(script)
    subprocess.run(["bash", "-n", str(file)], check=True, timeout=10)


def test_the_release_is_believed_by_its_hash_alone() -> None:
    script = (machines.FOLDER / "start.sh").read_text()
    checked, unpacked = script.index("sha256sum --check"), script.index("tar --extract")
    assert script.index("aws s3 cp") < checked < unpacked < script.index("./install.sh")
    assert "--require-hashes" in (machines.FOLDER / "install.sh").read_text()


def test_the_agent_sends_the_log_where_the_stack_keeps_it(full: Assembly) -> None:
    agent = machines.agent(read({**GOOD, "name": "full"}))
    (file,) = agent["logs"]["logs_collected"]["files"]["collect_list"]
    groups = full.of_type("data", "Logs::LogGroup").values()
    assert file["log_group_name"] in {one["LogGroupName"] for one in groups}
    unit = (machines.FOLDER / "storekeeper.service").read_text()
    assert f"StandardError=append:{file['file_path']}" in unit
    assert f"{file['file_path']} {{" in (machines.FOLDER / "logrotate.conf").read_text()


def test_the_units_are_sound_and_give_the_shop_little_to_misuse(tmp_path: Path) -> None:
    names = ("storekeeper.service", "storekeeper-secrets.service")
    units.judge(tmp_path, [machines.FOLDER / name for name in names], exposure=20)
