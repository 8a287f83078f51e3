"""The script that a machine starts with is run, in a root of its own with nothing in it but the
programs that it needs. Without this a machine could run what nobody released, or leave an update
waiting for its whole patience.

`make machine` boots a whole Debian and goes on to a healthy shop; there the release is a real one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy.aws.release import packed
from tests.deploy.lived import Deployed
from tests.machine.root import STAND_INS, STUBS
from tests.support.local_engines import not_tested, url

PROGRAMS = "bash cat cp curl gzip mkdir seq sh sha256sum sleep tar"
# A sum of nothing, which the deployment was told.
TOLD = "0" * 64
TRIED = "the start of a machine at AWS"
INSTALL = b"cp /etc/storekeeper/settings.env /installed\n"
ENTER = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]


class Ready(BaseHTTPRequestHandler):
    """A shop that counts who asks, and is ready but for the looks that are to find it away."""

    server: Shop

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(503 if len(self.server.asked) in self.server.away else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Shop(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Ready)
        self.asked: list[str] = []
        self.away: set[int] = set()


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root to copy: programs, the libraries that they load, and the stand-ins."""
    root = tmp_path_factory.mktemp("root")
    needed = [*PROGRAMS.split(), "ldd", ENTER[0]]
    if missing := [name for name in needed if shutil.which(name) is None]:
        not_tested(TRIED, f"There is no {', '.join(missing)}. Install it, on Linux")
    for name in PROGRAMS.split():
        found = str(shutil.which(name))
        into(root / "bin" / name, Path(found))
        loaded = subprocess.run(["ldd", found], capture_output=True, text=True, check=True)
        for library in re.findall(r"(/\S+) \(0x", loaded.stdout):
            into(root / library.lstrip("/"), Path(library))
    for name, place in STAND_INS.items():
        into(root / place / name, STUBS / name)
        (root / place / name).chmod(0o755)
    for name in ("dev", "etc", "var/lib", "var/log"):
        (root / name).mkdir(parents=True, exist_ok=True)
    tried = subprocess.run([*ENTER, str(root), "/bin/sh", "-c", ":"], check=False)
    if tried.returncode != 0:
        not_tested(TRIED, "Roots can't be changed here. Run the tests as root")
    return root


def into(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(source, target)


class Machine:
    """A root that has not started yet."""

    def __init__(self, programs: Path, root: Path, at: Deployed, shop: Shop) -> None:
        shutil.copytree(programs, root, copy_function=os.link, dirs_exist_ok=True)
        self.root = root
        self._at = at
        self._shop = shop

    def start(self, release: bytes, *, found: bytes | None, steady: int = 0) -> int:
        """With the user data for a release, and what is found in the bucket under its hash.
        `steady`: for how many seconds it has to be ready, which are 25 at AWS."""
        digest = hashlib.sha256(release).hexdigest()
        s3 = self._at.aws.client("s3")
        bucket = self._at.outputs["releases"]["BucketName"]
        key = f"releases/{digest}.tar.gz"
        s3.delete_object(Bucket=bucket, Key=key)
        if found is not None:
            s3.put_object(Bucket=bucket, Key=key, Body=found)
        script = self._at.told.script.replace(TOLD, digest)
        assert script.count("127.0.0.1:8000/") == 1
        script = script.replace("127.0.0.1:8000/", f"127.0.0.1:{self._shop.server_port}/")
        script, changed = re.subn(r"(\"\$ready\" -ge) '\d+'", rf"\1 '{steady}'", script)
        assert changed == 1
        (self.root / "user-data").write_text(script)
        inside = "/usr/local/bin:/bin"
        done = subprocess.run(
            [*ENTER, str(self.root), "/bin/bash", "/user-data"],
            # The first program is found out here.
            env={
                "PATH": f"{inside}:{os.environ['PATH']}",
                "AWS_ENDPOINT_URL": url("ministack"),
            },
            check=False,
            timeout=60,
        )
        return done.returncode

    def log(self, name: str) -> str:
        path = self.root / "var/log" / name
        return path.read_text() if path.exists() else ""

    @property
    def is_installed(self) -> bool:
        return (self.root / "installed").exists()


@pytest.fixture
def machine(programs: Path, tmp_path: Path, at: Deployed, shop: Shop) -> Machine:
    return Machine(programs, tmp_path / "root", at, shop)


def release(folder: Path, install: bytes = INSTALL) -> bytes:
    folder.mkdir()
    (folder / "install.sh").write_bytes(install)
    return packed(folder)


def test_a_machine_installs_its_release_and_says_that_it_is_ready(
    machine: Machine, tmp_path: Path, shop: Shop, at: Deployed
) -> None:
    good = release(tmp_path / "release")
    assert machine.start(good, found=good) == 0
    settings = machine.root / "etc/storekeeper/settings.env"
    assert (machine.root / "installed").read_text() == settings.read_text()
    assert settings.stat().st_mode & 0o077 == 0
    assert shop.asked == ["/readyz"]
    assert (
        machine.log("signals").split()
        == (
            "--exit-code 0 --reason ready --stack storekeeper-beside-compute "
            "--resource Machines --region eu-west-1"
        ).split()
    )


def test_a_machine_that_is_ready_for_a_moment_is_not_ready(
    machine: Machine, tmp_path: Path, shop: Shop
) -> None:
    """The load balancer wouldn't count it, and an update would end an old one that serves."""
    good = release(tmp_path / "release")
    shop.away = {2}
    assert machine.start(good, found=good, steady=1) == 0
    assert len(shop.asked) == 4
    (signal,) = machine.log("signals").splitlines()
    assert signal.startswith("--exit-code 0 --reason ready ")


@pytest.mark.parametrize(
    ("found", "told"),
    [(b"something else", "not the release of this hash"), (None, "404")],
    ids=["another", "none"],
)
def test_what_is_not_the_release_is_not_run(
    machine: Machine, tmp_path: Path, shop: Shop, found: bytes | None, told: str
) -> None:
    good = release(tmp_path / "release")
    assert machine.start(good, found=found) != 0
    assert told in machine.log("storekeeper-start.log")
    (signal,) = machine.log("signals").splitlines()
    assert signal.startswith("--exit-code 1 ")
    assert not machine.is_installed
    assert shop.asked == []


def test_a_machine_that_cannot_install_ends_the_update_at_once(
    machine: Machine, tmp_path: Path, shop: Shop
) -> None:
    bad = release(tmp_path / "release", install=b"echo no room; exit 1\n")
    assert machine.start(bad, found=bad) != 0
    assert "no room" in machine.log("storekeeper-start.log")
    (signal,) = machine.log("signals").splitlines()
    assert signal.startswith("--exit-code 1 --reason the machine could not be set up")
    assert shop.asked == []
