"""`make machine`: what a machine does first is done, in a clean Debian that is booted for it.

The stacks are made at the local engine, and the user data is that of their launch template. It
fetches the release from the engine's S3, installs it, and systemd starts the shop by its units, up to
a healthy /readyz. Then a release with a wheel of another hash, and one of another hash itself, have
to end without anything started. All of it in a network of its own, without a way out of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deploy.aws.account import Account
from deploy.aws.release import LOCK, Release, build, packed
from tests.deploy.engine import Aws
from tests.deploy.lived import Deployed, deployed
from tests.deploy.templates import ENVIRONMENTS, LIVED_IN
from tests.machine.root import base, fresh, python_of
from tests.machine.start import Machine, booted
from tests.support.processes import ROOT
from tools.engines.launch import CREDENTIALS, running

FOLDER = ROOT / "build" / "machine"
NEEDED = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
PASSWORD = "ridge-carbon-42"
HEALTHY = "http://127.0.0.1:8000/readyz"


@contextmanager
def timed(step: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    tell(step, time.monotonic() - began)


def tell(step: str, seconds: float) -> None:
    print(f"{seconds:8.2f} s  {step}", flush=True)


def prepare() -> None:
    """All that needs a network."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with timed("a clean Debian (once)"):
        root = base(FOLDER)
    machine = platform.machine()
    platforms = [f"manylinux{one}_{machine}" for one in ("_2_34", "_2_28", "2014")]
    with timed("building the release for this processor"):
        shutil.rmtree(FOLDER / "releases", ignore_errors=True)
        lock = FOLDER / "requirements.lock"
        lock.write_text(locked())
        build(FOLDER / "releases", platforms=platforms, python=python_of(root), lock=lock)
    with timed("synthesizing the templates"):
        subprocess.run(
            [
                *(sys.executable, "-m", "deploy.aws", "synth", LIVED_IN),
                *("--output", str(FOLDER), "--environments", str(ENVIRONMENTS)),
            ],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            check=True,
        )


def locked() -> str:
    """The machines' lock, and what Debian's older Python needs beside it, as it is locked for us."""
    every = (ROOT / "requirements-dev.lock").read_text()
    older = re.findall(
        r"^(async-timeout==\S+) ;[^\\\n]*((?:\\\n +--hash=\S+ ?)+)", every, re.MULTILINE
    )
    # Without the condition, which pip would hold against the Python that it runs on.
    return LOCK.read_text() + "".join(f"{pin} {hashes}\n" for pin, hashes in older)


def inside() -> None:
    """All the rest, where 127.0.0.1 is the only address."""
    raise_loopback()
    (path,) = (FOLDER / "releases").glob("*.tar.gz")
    good = Release(path, path.name.removesuffix(".tar.gz"))
    os.environ.update(CREDENTIALS)
    with running("ministack") as engine:
        os.environ["TEST_URL_MINISTACK"] = engine.url
        account = Account(CREDENTIALS["AWS_REGION"], engine.url)
        with timed("making the stacks at the local engine"):
            at = deployed(Aws(), FOLDER / LIVED_IN, lambda bucket: account.upload(good, bucket))
        becomes_healthy(at, engine.url)
        bucket = at.outputs["releases"]["BucketName"]
        bad = with_another_wheel(good)
        account.upload(bad, bucket)
        script = at.told.script.replace(good.sha256, bad.sha256)
        refuses(at, engine.url, script, "a wheel of another hash", "DO NOT MATCH THE HASHES")
        account.client("s3").put_object(Bucket=bucket, Key=good.key, Body=bad.path.read_bytes())
        refuses(
            at, engine.url, at.told.script, "a release of another hash", "nothing of it was run"
        )


def raise_loopback() -> None:
    """As `ip link set lo up`."""
    interface = struct.pack("16sh", b"lo", 0x1 | 0x40)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, interface)


def started(at: Deployed, endpoint: str, script: str) -> Path:
    root = FOLDER / "root"
    pool = at.outputs["identity"]["UserPool"]
    keys = f"{endpoint}/{pool}/.well-known/jwks.json"
    fresh(base(FOLDER), root, script=script, endpoint=endpoint, keys=keys)
    return root


def becomes_healthy(at: Deployed, endpoint: str) -> None:
    print("\nThe machine:")
    root = started(at, endpoint, at.told.script)
    began = time.monotonic()
    with booted(root, FOLDER / "console.log") as machine:
        signal = machine.signal()
        seconds = time.monotonic() - began
        *steps, steady = machine.steps()
        seconds -= steady.seconds
        tell("booting, up to the script", seconds - sum(one.seconds for one in steps))
        for step in steps:
            tell(step.name, step.seconds)
        tell("in all, from power to healthy", seconds)
        tell(steady.name, steady.seconds)
        wanted("--exit-code 0 --reason ready" in signal, signal, machine)
        answer = httpx.get(HEALTHY)
        wanted(answer.status_code == 200, answer.text, machine)
        print(f"  /readyz: {answer.text}")
        look(machine)


def look(machine: Machine) -> None:
    """What systemd made of the units, and whether the shop can be worked with."""
    judged = machine.run("systemd-analyze", "--no-pager", "security", "storekeeper.service")
    print(f"  systemd: {re.sub(r'^[^A-Z]*', '', judged.splitlines()[-1])}")
    shown = machine.run("systemctl", "show", "-P", "MainPID", "storekeeper.service").strip()
    status = machine.run("cat", f"/proc/{shown}/status")
    (user,) = re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE)
    wanted(int(user) >= 61_184, f"the shop runs as {user}, no dynamic user", machine)
    wanted("NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, status, machine)
    machine.typed(
        "/opt/storekeeper/bin/shop create-admin boss@example.com",
        [("Password: ", PASSWORD), ("Repeat for confirmation: ", PASSWORD)],
    )
    body = {"email": "boss@example.com", "password": PASSWORD}
    answer = httpx.post("http://127.0.0.1:8000/auth/login", json=body)
    wanted(answer.status_code == 200, answer.text, machine)
    print("  the admin that the machine's own command made can log in")


def refuses(at: Deployed, endpoint: str, script: str, what: str, message: str) -> None:
    root = started(at, endpoint, script)
    began = time.monotonic()
    with booted(root, FOLDER / "console.log") as machine:
        signal = machine.signal()
        told = machine.log("storekeeper-start.log")
        wanted("--exit-code 1" in signal, signal, machine)
        wanted(message in told, told, machine)
        units = root / "etc/systemd/system/storekeeper.service"
        wanted(not units.exists(), "its units were installed", machine)
    print(f"\nWith {what}, after {time.monotonic() - began:.1f} s:")
    print(f"  {next(line for line in told.splitlines() if message in line)}")
    print(f"  CloudFormation: {signal}")


def with_another_wheel(release: Release) -> Release:
    """The release, its own hash right, with a wheel that isn't the one that was locked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(fileobj=io.BytesIO(release.path.read_bytes())) as archive:
            archive.extractall(folder, filter="data")
        wheel = next((folder / "wheels").glob("httpx-*.whl"))
        wheel.write_bytes(wheel.read_bytes() + b"\0")
        data = packed(folder)
    digest = hashlib.sha256(data).hexdigest()
    path = FOLDER / "another.tar.gz"
    path.write_bytes(data)
    return Release(path, digest)


def wanted(is_so: bool, found: str, machine: Machine) -> None:
    if not is_so:
        told = machine.log("storekeeper-start.log") + machine.log("storekeeper.log")
        raise SystemExit(f"not as it should be: {found}\n{told}")


def main() -> None:
    if sys.argv[1:] == ["inside"]:
        inside()
        return
    missing = [package for command, package in NEEDED.items() if shutil.which(command) is None]
    if missing:
        raise SystemExit(f"Missing: {', '.join(missing)}. Debian: apt-get install {missing[0]} …")
    if os.geteuid() != 0:
        raise SystemExit("It boots a system of its own, which takes root: run it with sudo.")
    prepare()
    command = ["unshare", "--net", sys.executable, "-m", "tests.machine", "inside"]
    raise SystemExit(subprocess.run(command, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
