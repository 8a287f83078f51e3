"""One machine, as `deploy/single/install.sh` makes, updates and takes it back. Customers go on ordering
all the while, and none of them may lose an order or see a failure."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from storekeeper.config import load
from tests.cli.terminal import eventually
from tests.deploy import units
from tests.deploy.customers import Told, assert_all_there_once, ordering, place, stock_up
from tests.deploy.machine import PATIENCE_S, Machine
from tests.support.handing import held_socket
from tests.support.processes import ROOT

SINGLE = ROOT / "deploy/single"
INSTALL = ("install", "--domain", "shop.example.com", "--currency", "GBP")
WITH_NGINX = ("--proxy", "nginx", "--email", "ops@example.com")


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options for what stands before the shop; Caddy where a test doesn't say."""
    return getattr(request, "param", ())


@pytest.fixture
def machine(tmp_path: Path, proxy: tuple[str, ...]) -> Iterator[Machine]:
    with held_socket() as listening:
        machine = Machine(tmp_path, listening)
        try:
            machine.first = machine.checkout("1.0.0")
            (tmp_path / "caddy/Caddyfile").write_text("# of the distribution\n")
            machine.ok(machine.first, *INSTALL, *proxy)
            stock_up(machine.terminal)
            yield machine
        finally:
            machine.close()


def ordered_first(told: Told, machine: Machine) -> None:
    """As `told`, and every order again under its key, which has to be the same one."""
    with httpx.Client(timeout=60, trust_env=False) as http:
        for key, id in list(told.orders.items())[:50]:
            assert place(http, machine.url, key).json()["id"] == id


def below(pid: int, depth: int) -> list[int]:
    """The process, the one that it has started, and so on, as far as there are any."""
    found = [pid]
    while len(found) <= depth:
        started = Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text().split()
        if not started:
            break
        found.append(int(started[0]))
    return found


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def schema_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_an_update_with_a_migration_and_back_turns_nobody_away(machine: Machine) -> None:
    settings = machine.settings / "storekeeper.toml"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640
    found = load(file=settings)
    assert (found.public_url, found.trusted_proxies) == ("https://shop.example.com", ("127.0.0.1",))
    assert (found.database, found.currency) == (str(machine.state / "shop.db"), "GBP")
    assert "shop.example.com {" in (machine.folder / "caddy/Caddyfile").read_text()
    before = (machine.folder / "caddy/Caddyfile.before-storekeeper").read_text()
    assert before == "# of the distribution\n"
    assert "in use already" in machine.ok(machine.first, "upgrade")

    second = machine.checkout("2.0.0", migrates=True)
    assert "use upgrade" in machine.install(second, *INSTALL).stderr
    schema = schema_of(machine.state / "shop.db")
    with ordering(machine.url) as told:
        told.grows(20)
        machine.ok(second, "upgrade")
        told.grows(20)
    assert machine.version == "2.0.0"
    assert schema_of(machine.state / "shop.db") == schema + 1
    assert_all_there_once(told, machine.state / "shop.db")
    ordered_first(told, machine)

    refused = machine.install(second, "rollback")
    assert refused.returncode == 1
    assert "--restore" in refused.stderr
    assert machine.version == "2.0.0"
    (backup,) = (machine.state / "backups").glob("before-2.0.0-*.db")
    machine.ok(second, "rollback", "--restore")
    assert machine.version == "1.0.0"
    assert schema_of(machine.state / "shop.db") == schema_of(backup) == schema
    machine.terminal.ok("verify")
    (aside,) = machine.state.glob("shop.db.before-restore-*")
    assert_all_there_once(told, aside)


def test_what_broke_off_is_gone_on_with_and_nothing_goes_on_twice(tmp_path: Path) -> None:
    """An operator whose name wasn't in DNS yet, or whose connection broke, would be stuck else."""
    with held_socket() as listening, closing(Machine(tmp_path, listening)) as machine:
        machine.first = machine.checkout("1.0.0")
        machine.environment["CERTBOT"] = "1"
        assert machine.install(machine.first, *INSTALL, *WITH_NGINX).returncode == 1
        machine.environment["CERTBOT"] = "0"
        with Path(machine.environment["LOCK"]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            other = machine.install(machine.first, *INSTALL, *WITH_NGINX)
        assert (other.returncode, other.stderr) == (
            1,
            "install.sh: another install.sh is at work\n",
        )
        machine.ok(machine.first, *INSTALL, *WITH_NGINX)
        assert len(list((tmp_path / "nginx/conf.d").iterdir())) == 2
        assert (machine.run / "asked").read_text().count("enable --now") == 2

        second = machine.checkout("2.0.0")
        served = (machine.run / "pid").read_text()
        (machine.run / "kill").touch()
        assert machine.install(second, "upgrade").returncode == 128 + signal.SIGKILL
        assert (machine.run / "pid").read_text() == served, "the old release still serves"
        machine.ok(second, "upgrade")
        assert (machine.run / "pid").read_text() != served
        assert machine.version == "2.0.0"
        asked = (machine.run / "asked").read_text().splitlines()
        assert asked[-1] == "try-restart storekeeper-backup.service"
        # A Python that went with the distribution's upgrade.
        program = machine.home / "current/bin/storekeeper"
        program.write_text("#!/no/such/python\n")
        machine.ok(second, "upgrade")
        assert program.read_text() != "#!/no/such/python\n"
        machine.ok(second, "rollback")
        assert machine.version == "1.0.0"


_SLOW = """\
#!/bin/sh
mkdir "$RUN/making" || touch "$RUN/two-at-once"
while [ ! -e "$RUN/go-on" ]; do sleep 0.02; done
rmdir "$RUN/making"
exec {environment} "$@"
"""


def test_what_a_killed_run_has_started_is_not_met_in_its_midst(tmp_path: Path) -> None:
    """Two that put packages into one folder would leave a release that nobody has tried."""
    with held_socket() as listening, closing(Machine(tmp_path, listening)) as machine:
        machine.first = machine.checkout("1.0.0")
        slow = tmp_path / "slow.sh"
        own = machine.first / "deploy/single/environment.sh"
        slow.write_text(_SLOW.format(environment=own))
        slow.chmod(0o755)
        machine.environment["ENVIRONMENT"] = str(slow)
        with machine.start(machine.first, *INSTALL) as first:
            eventually((machine.run / "making").exists)
            # The installer alone, and what keeps its lock; the environment is made on.
            for pid in reversed(below(first.pid, 2)):
                os.kill(pid, signal.SIGKILL)
        try:
            with machine.start(machine.first, *INSTALL) as second:
                line = second.stdout.readline() if second.stdout else ""
                both = machine.run / "two-at-once"
                eventually(lambda: both.exists() or "flock" in command_of(below(second.pid, 3)[-1]))
                assert not both.exists()
                (machine.run / "go-on").touch()
                output = second.communicate(timeout=PATIENCE_S)[0]
        finally:
            (machine.run / "go-on").touch()
        assert second.returncode == 0, output
        assert "is still at work" in line


@pytest.mark.parametrize("proxy", [WITH_NGINX], indirect=True)
def test_a_release_that_is_not_ready_is_taken_back_and_nothing_is_lost(machine: Machine) -> None:
    assert "--domain shop.example.com" in (machine.run / "certbot").read_text()
    sites = [path.read_text() for path in (machine.folder / "nginx/conf.d").iterdir()]
    assert len(sites) == 2
    assert all("server_name shop.example.com;" in site for site in sites)
    asked = len((machine.run / "asked").read_text().splitlines())
    before = schema_of(machine.state / "shop.db")
    with ordering(machine.url) as told:
        told.grows(20)
        broken = machine.install(machine.checkout("2.0.0", is_broken=True), "upgrade")
        assert broken.returncode == 1
        assert "went on with" in broken.stderr
        now_asked = len((machine.run / "asked").read_text().splitlines())
        assert now_asked == asked, "nothing was restarted"
        told.grows(20)
        worse = machine.install(machine.checkout("3.0.0", migrates=True, is_broken=True), "upgrade")
        assert worse.returncode == 1
        assert "with all that was ordered" in worse.stderr
        assert machine.log().count("first a backup") == 1, "a release that failed isn't tried again"
        told.grows(20)
    assert machine.version == "1.0.0"
    assert schema_of(machine.state / "shop.db") == before
    assert_all_there_once(told, machine.state / "shop.db")
    machine.terminal.ok("verify")

    machine.ok(machine.checkout("4.0.0"), "upgrade")
    machine.ok(machine.first, "rollback")
    assert machine.version == "1.0.0"
    kept = {path.name.partition("-")[0] for path in (machine.home / "releases").iterdir()}
    assert kept == {"1.0.0", "4.0.0"}, "those that failed are gone"
    assert str(machine.state) in machine.ok(machine.first, "remove")
    assert not machine.home.exists()
    assert not list(machine.units.iterdir())
    assert (machine.state / "shop.db").exists()


def test_the_units_are_sound_and_give_the_shop_little_to_misuse(tmp_path: Path) -> None:
    found = [*SINGLE.glob("*.service"), *SINGLE.glob("*.socket")]
    assert len(found) >= 2
    units.judge(tmp_path, found, exposure=20)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("install",), "--domain"),
        (("install", "--domain", "shop example"), "--domain"),
        (("install", "--domain", "shop.example.com", "--proxy", "apache"), "--proxy"),
        (("install", "--domain", "shop.example.com", "--currency", "euro"), "--currency"),
        (("install", "--domain", "shop.example.com", "--proxy", "nginx"), "--email"),
        (("install", "--domain", "shop.example.com", "--email", "ops@example.com"), "--email"),
        (("install", "--domain"), "--domain"),
        (("upgrade",), "use install"),
        (("rollback",), "no release before"),
        (("sing",), "usage"),
    ],
)
def test_what_the_installer_cannot_use_is_named(
    tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    with held_socket() as listening:
        ended = Machine(tmp_path, listening).install(ROOT, *arguments)
    assert ended.returncode in (1, 2)
    assert named in ended.stderr
    assert not (tmp_path / "opt").exists()
