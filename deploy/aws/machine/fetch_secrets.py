"""Writes the shop's keys, as Secrets Manager has them, into a file that systemd reads.

Runs on the machine, with what the shop's own packages bring along. `secrets.env` says which secrets
these are; what is written is readable by root alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote


def lines(
    keys: Mapping[str, str], password: str, address: str, mail_password: str = ""
) -> list[str]:
    """The settings, NAME="VALUE". `keys`: `current` signs, `next` and `previous` are taken."""
    others = [keys[name] for name in ("next", "previous") if keys.get(name)]
    found = {"STOREKEEPER_SECRET_KEY": keys["current"]}
    if others:
        found["STOREKEEPER_OLD_SECRET_KEYS"] = ",".join(others)
    if address:
        found["STOREKEEPER_CACHE_URL"] = f"valkeys://shop:{quote(password, safe='')}@{address}"
    if mail_password:
        found["STOREKEEPER_SMTP_PASSWORD"] = mail_password
    return [f"{name}={quoted(value)}" for name, value in found.items()]


def quoted(value: str) -> str:
    """As systemd reads it in an EnvironmentFile, whatever signs are in it."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def fetch(environ: Mapping[str, str], client: Any) -> list[str]:
    def secret(name: str) -> str:
        return str(client.get_secret_value(SecretId=environ[name])["SecretString"])

    keys = json.loads(secret("SIGNING_KEYS"))
    address = environ.get("CACHE_ADDRESS", "")
    # A password that came from a file has the file's last line break.
    mail = secret("MAIL_PASSWORD").strip() if "MAIL_PASSWORD" in environ else ""
    cache = secret("CACHE_PASSWORD").strip() if address else ""
    return lines(keys, cache, address, mail)


def main(target: Path) -> None:
    import botocore.session

    session = botocore.session.get_session()
    client = session.create_client("secretsmanager", region_name=os.environ["REGION"])
    text = "\n".join(fetch(os.environ, client)) + "\n"
    draft = target.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
