"""A clean Debian to start as a machine: made once with debootstrap, copied for each start."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

STUBS = Path(__file__).parent / "stubs"
# As on Amazon Linux, or installed there by the machine's own scripts.
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,curl,ca-certificates,logrotate"
SUITE = "bookworm"
# What exists nowhere but at AWS, and where its own stand-in goes.
STAND_INS = {
    "aws": "usr/local/bin",
    "dnf": "usr/local/bin",
    "cfn-signal": "opt/aws/bin",
    "amazon-cloudwatch-agent-ctl": "opt/aws/amazon-cloudwatch-agent/bin",
}
# Plays cloud-init: runs the script as root, once. Each of its commands leaves its time behind.
FIRST = """[Unit]
Description=The user data, as cloud-init would run it
After=network.target

[Service]
Type=oneshot
Environment=HOME=/root PYTHON=python3 BASH_ENV=/var/lib/trace
ExecStart=/bin/bash /var/lib/user-data

[Install]
WantedBy=multi-user.target
"""
TRACE = """exec 9>>/var/log/steps
BASH_XTRACEFD=9
PS4='+ $EPOCHREALTIME '
set -x
"""
# What AWS is here, for all that systemd starts.
DIFFERS = """[Manager]
DefaultEnvironment=AWS_ENDPOINT_URL={endpoint} AWS_EC2_METADATA_SERVICE_ENDPOINT={endpoint}
DefaultEnvironment=STOREKEEPER_COGNITO_JWKS_URL={keys}
"""


def base(folder: Path) -> Path:
    """The root that others are copied from; takes a minute and Debian's mirror, once."""
    made = folder / "base"
    if not made.is_dir():
        draft = folder / "base.draft"
        shutil.rmtree(draft, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(draft)],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        draft.rename(made)
    return made


def python_of(root: Path) -> str:
    """3.11 of a root whose python3 leads to python3.11."""
    return (root / "usr/bin/python3").readlink().name.removeprefix("python")


def fresh(base: Path, target: Path, *, script: str, endpoint: str, keys: str) -> None:
    """A copy that runs `script` when it starts. `keys`: address of the user pool's."""
    subprocess.run(["rm", "-rf", str(target)], check=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(target)], check=True)
    for name, place in STAND_INS.items():
        (target / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(STUBS / name, target / place / name)
        (target / place / name).chmod(0o755)
    (target / "var/lib/user-data").write_text(script)
    (target / "var/lib/trace").write_text(TRACE)
    units = target / "etc/systemd/system"
    (units / "first.service").write_text(FIRST)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "first.service").symlink_to("../first.service")
    differs = target / "etc/systemd/system.conf.d/here.conf"
    differs.parent.mkdir()
    differs.write_text(DIFFERS.format(endpoint=endpoint, keys=keys))
