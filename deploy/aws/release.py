"""A release: one file with everything that a machine installs, named by its hash.

Made of the same commit twice it is the same file, so a machine can't get another by accident.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from deploy.aws.machines import FOLDER
from deploy.aws.programs import ProgramError

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).parent / "requirements.lock"
# Of every service on every kind of machine.
HARDENING = ROOT / "deploy/hardening.conf"
# Amazon Linux 2023 on Graviton, and the Python that `machine/install.sh` takes.
PLATFORMS = ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64")
PYTHON = "3.12"
# Zip files know no time before it.
EPOCH = 315_532_800
_OTHER = ("start.sh",)
# With the warning before it: of an index that can't be reached, that alone says so.
_ERROR = re.compile(r"(?:^WARNING: .*\n)?^ *error: ", re.IGNORECASE | re.MULTILINE)
_WORDS = 600


class Release(NamedTuple):
    path: Path
    sha256: str

    @property
    def key(self) -> str:
        """Its name in the bucket."""
        return self.key_of(self.sha256)

    @staticmethod
    def key_of(sha256: str) -> str:
        return f"releases/{sha256}.tar.gz"


def build(
    target: Path,
    *,
    platforms: Iterable[str] = PLATFORMS,
    python: str = PYTHON,
    lock: Path = LOCK,
) -> Release:
    """Fetches the locked packages for the machines' platform and packs them with the shop's own."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        wheels = folder / "wheels"
        wheels.mkdir()
        own = _own_wheel(folder)
        choices = [part for one in platforms for part in ("--platform", one)]
        _pip(
            f"pip can't fetch what {lock.name} lists; is the package index reachable?",
            *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("--python-version", python, "--implementation", "cp", *choices),
            *("--dest", str(wheels), "--requirement", str(lock)),
        )
        own.rename(wheels / own.name)
        (folder / "requirements.txt").write_text(requirements(wheels / own.name, lock))
        for path in (*FOLDER.iterdir(), HARDENING):
            if path.is_file() and path.name not in _OTHER:
                (folder / path.name).write_bytes(path.read_bytes())
        data = packed(folder)
    digest = hashlib.sha256(data).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{digest}.tar.gz"
    path.write_bytes(data)
    return Release(path, digest)


def requirements(own: Path, lock: Path = LOCK) -> str:
    """The lock, and the shop's own wheel with its hash."""
    name, version = own.name.split("-")[:2]
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    return f"{lock.read_text()}{name}=={version} \\\n    --hash=sha256:{digest}\n"


def packed(folder: Path) -> bytes:
    """The folder as tar.gz, without anything of the moment or of this machine."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(str(path.relative_to(folder)))
                entry.size = path.stat().st_size
                entry.mode = 0o644
                with path.open("rb") as file:
                    archive.addfile(entry, file)
    return gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)


def _own_wheel(folder: Path) -> Path:
    made = folder / "own"
    _pip(
        "pip can't make the shop's own package:",
        *("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made), str(ROOT)),
        environment={"SOURCE_DATE_EPOCH": str(EPOCH)},
    )
    (wheel,) = made.glob("*.whl")
    moved = folder / wheel.name
    wheel.rename(moved)
    made.rmdir()
    return moved


def _pip(failure: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramError(f"{failure} {_last_words(done.stderr)}")
    sys.stderr.write(done.stderr)


def _last_words(told: str) -> str:
    """Errors of pip in one line; where it names none, its last line."""
    error = _ERROR.search(told)
    words = told[error.start() :] if error else told.strip().rpartition("\n")[2]
    line = " ".join(words.split())
    return line if len(line) <= _WORDS else f"… {line[-_WORDS:]}"
