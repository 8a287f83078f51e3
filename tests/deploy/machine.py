"""A machine with the shop on it as `install.sh` puts it there, in a folder: what systemd would do,
hold the socket and start and end the server, a short script does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from tests.cli.terminal import Terminal
from tests.support.processes import ROOT

PATIENCE_S = 100
_SYSTEMCTL = """\
#!/bin/bash
set -eu
cd "$STATE"
runs() { [[ -n $(tr -d '\\0' <"/proc/$1/cmdline" 2>/dev/null) ]]; }
stop() {
    [[ -e $RUN/pid ]] || return 0
    pid=$(<"$RUN/pid")
    kill -TERM "$pid" 2>/dev/null || true
    while runs "$pid"; do sleep 0.02; done
    rm "$RUN/pid"
}
prepare() { "$HOME_OF_SHOP/current/share/prepare.sh" >>"$RUN/log" 2>&1; }
start() {
    export STOREKEEPER_CONFIG=$SETTINGS/storekeeper.toml
    # A second time as Restart= and waiting customers have it, before whoever asked hears of it.
    prepare || prepare || return 1
    setsid bash -c 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$HOME_OF_SHOP/current/bin/storekeeper" serve \\
        3<&"$HELD"' </dev/null >>"$RUN/log" 2>&1 &
    echo $! >"$RUN/pid"
}
echo "$*" >>"$RUN/asked"
case $1 in
    daemon-reload | reload-or-restart | try-restart) ;;
    restart)
        if [[ -e $RUN/kill ]]; then
            rm "$RUN/kill"
            kill -KILL "$PPID"
            exit 1
        fi
        stop && start
        ;;
    enable) [[ -e $RUN/pid ]] || start ;;
    disable) stop ;;
    *) exit 1 ;;
esac
"""
# The packages are those of the tests; the shop is the one of the checkout.
_ENVIRONMENT = f"""\
#!/bin/sh
mkdir -p "$1/bin"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
cat >"$1/bin/storekeeper" <<END
#!/bin/sh
PYTHONPATH=$1/src exec {sys.executable} -m storekeeper "\\$@"
END
chmod +x "$1/bin/storekeeper"
cp -a "$root/src" "$1/src"
"""


class Machine:
    """Places as `install.sh` takes them; the socket is held for as long as this lives."""

    def __init__(self, folder: Path, listening: socket.socket) -> None:
        self.folder = folder
        self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = folder / "opt"
        self.state = folder / "state"
        self.settings = folder / "settings"
        self.units = folder / "units"
        self.run = folder / "run"
        programs = folder / "programs"
        for place in (self.run, self.units, programs, folder / "caddy", folder / "nginx/conf.d"):
            place.mkdir(parents=True)
        _program(
            programs / "certbot", '#!/bin/sh\necho "$@" >"$RUN/certbot"; exit "${CERTBOT-0}"\n'
        )
        self.first = folder
        self._held = listening.fileno()
        systemctl = folder / "systemctl"
        _program(systemctl, _SYSTEMCTL)
        # Every start would compile all anew.
        others = ("STOREKEEPER", "PYTHONDONTWRITEBYTECODE")
        kept = {
            name: text
            for name, text in os.environ.items()
            if not any(other in name for other in others)
        }
        self.environment = {
            **kept,
            "PATH": f"{programs}:{kept['PATH']}",
            "HOME_OF_SHOP": str(self.home),
            "STATE": str(self.state),
            "SETTINGS": str(self.settings),
            "UNITS": str(self.units),
            "JOURNAL": str(folder / "journal"),
            "CADDY": str(folder / "caddy"),
            "NGINX": str(folder / "nginx"),
            "WEBROOT": str(folder / "webroot"),
            "RUN": str(self.run),
            "LOCK": str(folder / "lock"),
            "SYSTEMCTL": str(systemctl),
            "HELD": str(self._held),
            "SHOP_USER": "",
            "PACKAGES": "none",
            "PATIENCE": "20",
            "PAUSE": "0",
            "PYTHON": sys.executable,
            "STOREKEEPER_PORT": str(self.port),
            "STOREKEEPER_REQUESTS_PER_MINUTE": "0",
        }

    def checkout(self, version: str, *, migrates: bool = False, is_broken: bool = False) -> Path:
        """The shop's sources as a release of that version has them."""
        root = self.folder / f"checkout-{version}"
        for name in ("src", "deploy/single"):
            shutil.copytree(ROOT / name, root / name)
        for name in ("deploy/hardening.conf", "pyproject.toml"):
            shutil.copy(ROOT / name, root / name)
        package = root / "src/storekeeper"
        (package / "__init__.py").write_text(f'__version__ = "{version}"\n')
        if migrates:
            with (package / "store/sqlite/schema.py").open("a") as schema:
                schema.write('\nMIGRATIONS = (*MIGRATIONS, "CREATE TABLE later (what TEXT)")\n')
        if is_broken:
            _swap(
                package / "app/serving.py",
                "        await shop.start()\n",
                '        raise RuntimeError("this release is broken")\n',
            )
        environment = root / "deploy/single/environment.sh"
        environment.write_text(_ENVIRONMENT)
        return root

    def install(self, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(root / "deploy/single/install.sh"), *arguments],
            env=self.environment,
            pass_fds=(self._held,),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def start(self, root: Path, *arguments: str) -> subprocess.Popen[str]:
        """The same without waiting for it; errors among its output."""
        return subprocess.Popen(
            [str(root / "deploy/single/install.sh"), *arguments],
            env=self.environment,
            pass_fds=(self._held,),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ok(self, root: Path, *arguments: str) -> str:
        ended = self.install(root, *arguments)
        assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}{self.log()}"
        return ended.stdout

    def log(self) -> str:
        path = self.run / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return "\n".join(line for line in lines if '"event":"request"' not in line)

    @property
    def version(self) -> str:
        """Of the release in use."""
        return (self.home / "current").resolve().name.partition("-")[0]

    @property
    def terminal(self) -> Terminal:
        """Commands on this machine's shop, of the checkout that is tested."""
        terminal = Terminal(self.folder)
        terminal.environment["STOREKEEPER_CONFIG"] = str(self.settings / "storekeeper.toml")
        return terminal

    def close(self) -> None:
        pid = self.run / "pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(stat.S_IRWXU)


def _swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))
