"""The image and the compose file, as linters and the checkout judge them: no engine runs here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from storekeeper.config import load
from tests.support.processes import ROOT

SINGLE = ROOT / "deploy/single"
TOOLS = Path(sys.executable).parent
# What compose-lint finds below its threshold: names instead of digests, which docs/single.md says how
# to pin, and the ports of a shop that is meant for the public.
KNOWN = {"CL-0019", "CL-0005"}


def told(*command: str) -> tuple[int, str]:
    ended = subprocess.run(
        [str(TOOLS / command[0]), *command[1:]],
        cwd=SINGLE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_the_linters_are_content() -> None:
    assert told("hadolint", "--failure-threshold", "info", "Dockerfile") == (0, "")
    code, text = told("compose-lint", "check", "compose.yaml")
    assert code == 0, text
    assert set(re.findall(r"CL-\d{4}\b", text)) <= KNOWN, text


def test_the_image_is_made_of_what_the_build_is_given_and_of_nothing_else() -> None:
    dockerfile = (SINGLE / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, flags=re.MULTILINE)
        for source in line.split()[:-1]
    ]
    given = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if "!" in line]
    assert sorted(copied) == sorted(given)
    assert all((ROOT / path).exists() for path in copied)


def test_the_shop_takes_the_settings_of_its_container() -> None:
    dockerfile = (SINGLE / "Dockerfile").read_text()
    services = yaml.safe_load((SINGLE / "compose.yaml").read_text())
    shop = services["services"]["shop"]
    (net,) = services["networks"]["inside"]["ipam"]["config"]
    environ = dict(re.findall(r"(STOREKEEPER_\w+)=(\S+)", dockerfile))
    environ |= {
        name: re.sub(r"\$\{DOMAIN[^}]*\}", "shop.example.com", value)
        for name, value in shop["environment"].items()
    }
    found = load(environ=environ)
    assert found.public_url == "https://shop.example.com"
    assert found.trusted_proxies == (net["subnet"],)
    assert found.database.startswith("/data/")
    # As `storekeeper ready` and Caddy have it.
    assert f"EXPOSE {found.port}" in dockerfile
    assert services["services"]["caddy"]["environment"]["SHOP"] == f"shop:{found.port}"
    assert found.shutdown_seconds < int(shop["stop_grace_period"].removesuffix("s"))


def test_no_container_may_do_more_than_it_has_to() -> None:
    services = yaml.safe_load((SINGLE / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "max-size" in service["logging"]["options"], name
    assert "ports" not in services["shop"], "nobody comes past Caddy"
    user = services["shop"]["user"]
    assert services["backup"]["user"] == user
    assert not {"ports", "cap_add"} & services["backup"].keys()
    assert f"USER {user}" in (SINGLE / "Dockerfile").read_text()


def test_the_backup_runs_beside_the_shop_where_it_is_asked_for() -> None:
    """On the same file, of the same release; else it would stream something else, or nothing."""
    services = yaml.safe_load((SINGLE / "compose.yaml").read_text())["services"]
    shop, backup = services["shop"], services["backup"]
    assert backup["profiles"] == ["backup"]
    assert backup["image"] == re.sub(r":\?[^}]*", "", shop["image"])
    for name in ("volumes", "env_file", "networks"):
        assert backup[name] == shop[name], name
    unit = (SINGLE / "storekeeper-backup.service").read_text()
    assert " ".join(backup["command"]) in re.findall(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)
    assert f"TimeoutStopSec={backup['stop_grace_period'].removesuffix('s')}\n" in unit
    # What the shop writes stays to be sent for as long as it looks: first to begin, last to end.
    waited = shop["depends_on"]["backup"]
    assert waited == {"condition": "service_started", "required": False}
