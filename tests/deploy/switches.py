"""One environment with everything on, and with one thing after the other switched off.

A program of its own, as the CDK takes long to load: it makes all assemblies that the tests look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from deploy.aws.settings import Environment, load
from tests.deploy.templates import ENVIRONMENTS, LIVED_IN, NAMES

NO_MAIL: dict[str, object] = {"mail": None, "mail_from": ""}
# What differs from everything on.
SWITCHES: dict[str, dict[str, object]] = {
    "on": {},
    "cache": {"cache": False},
    "mail": NO_MAIL,
    "exports": {"exports": False},
    "cognito": {"cognito": "off"},
    "gateway-asks-no-pool": {"cognito": "beside"},
    "firewall": {"firewall": False},
    "outbound": {"outbound": False, **NO_MAIL},
    "ssh": {"ssh_from": (), "ssh_key": ""},
    "protected": {"protected": False},
    "all": {
        **NO_MAIL,
        "cache": False,
        "exports": False,
        "cognito": "off",
        "firewall": False,
        "outbound": False,
        "ssh_from": (),
        "ssh_key": "",
    },
}
# Enough for a gateway with both kinds, and small enough to be made so often.
ROUTES = ("GET /products", "POST /orders")


def switched(switch: str) -> Environment:
    full = load("full", ENVIRONMENTS)
    own = {"name": "switched", "domain": "switched.example.com"}
    return msgspec.structs.replace(full, **own, **SWITCHES[switch])


def folder_of(assemblies: Path, switch: str) -> Path:
    return assemblies / f"switched-{switch}"


def main(assemblies: Path) -> int:
    from deploy.aws.__main__ import run
    from deploy.aws.app import synthesize
    from deploy.aws.routes import routes

    code = run(
        [
            *("synth", *NAMES, LIVED_IN),
            *("--output", str(assemblies), "--environments", str(ENVIRONMENTS)),
        ]
    )
    few = [one for one in routes() if one.key in ROUTES]
    for switch in SWITCHES:
        synthesize(switched(switch), few, folder_of(assemblies, switch))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
