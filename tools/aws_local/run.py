"""Starts the local engines and the whole shop on them, tells how to look at it, and ends it all.

Whatever is started here is a process of ours, ended by its id; what it kept is in memory, or in the
run's own folder, which goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from storekeeper.config import PREFIX
from tools.aws_local import look, services
from tools.engines.launch import (
    CREDENTIALS,
    ROOT,
    Missing,
    Name,
    Running,
    ended_after,
    install,
    running,
)

RUNS = ROOT / "build" / "aws-local"
POLL_SECONDS = 0.1
STOP_SECONDS = 15
FAILED = 1
UNAVAILABLE = 3
_COMMAND = (sys.executable, "-m", "storekeeper")
TITLES: dict[Name, str] = {
    "dynamodb": "DynamoDB Local",
    "ministack": "ministack (SNS, SQS, CloudWatch, Cognito)",
    "valkey": "Valkey",
}


class Stopped(Exception):
    """Somebody has told us to end."""


class Broken(Exception):
    """Something that was started has ended by itself; says what."""


class Ending:
    """Whether a signal has told us to end. Asked wherever we wait, so that nothing that is just
    being started is forgotten."""

    def __init__(self) -> None:
        self._is_told = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._tell)

    def check(self) -> None:
        if self._is_told:
            raise Stopped

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._is_told = True


def serve(port: int, engines: Path, options: Sequence[str]) -> int:
    """Until a signal ends it; the exit code. 3: something is missing here, and it was said what."""
    ending = Ending()
    try:
        with contextlib.ExitStack() as stack:
            _run(port, engines, options, ending, stack)
    except Stopped:
        say("Stopped; nothing is left running.")
    except Missing as missing:
        complain(f"run-aws-local can't start: {missing}")
        return UNAVAILABLE
    except Broken as broken:
        complain(f"run-aws-local has ended, and all that it had started: {broken}")
        return FAILED
    return 0


def _run(
    port: int, engines: Path, options: Sequence[str], ending: Ending, stack: contextlib.ExitStack
) -> None:
    say("Looking for the engines (the first time they are fetched; a minute) ...")
    install(engines, check=ending.check, quiet=False)
    RUNS.mkdir(parents=True, exist_ok=True)
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=RUNS)))
    started = list(_started(engines, ending, stack))
    environment, ours = _environment(place, {one.name: one for one in started})
    ending.check()
    say("Making the tables ...")
    _storekeeper(environment, "init", ending=ending)
    say("Opening the shop and loading the demo ...")
    shop = stack.enter_context(
        ended_after(
            subprocess.Popen(
                [*_COMMAND, "serve", "--demo", "--json", "--port", str(port), *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,
            ),
            whole_group=True,
            patience=STOP_SECONDS,
        )
    )
    url = _opened(shop, ending)
    say(_told(place, url, shop.pid, ours))
    _watch(shop, started, ending)


def _watch(shop: subprocess.Popen[str], engines: Sequence[Running], ending: Ending) -> None:
    """For as long as all of it runs."""
    while shop.poll() is None:
        ending.check()
        for one in engines:
            if one.process.poll() is not None:
                raise Broken(f"{TITLES[one.name]} ended with code {one.process.returncode}")
        time.sleep(POLL_SECONDS)
    ending.check()
    raise Broken(f"the shop ended with code {shop.returncode}; its log is above")


def _started(engines: Path, ending: Ending, stack: contextlib.ExitStack) -> Iterator[Running]:
    """The engines one after the other. Without Valkey the shop does as it does on one machine."""
    for name, title in TITLES.items():
        say(f"Starting {title} ...")
        try:
            one = stack.enter_context(
                running(name, folder=engines, check=ending.check, in_own_group=True)
            )
        except Missing as missing:
            if name != "valkey":
                raise
            complain(f"Going on without a shared cache. {missing}")
        else:
            say(f"  {one.url} (process {one.process.pid})")
            yield one


def _environment(
    place: Path, engines: Mapping[Name, Running]
) -> tuple[dict[str, str], dict[str, str]]:
    """The shop's environment, and the part of it that is ours.

    Nothing of the real AWS's and of another shop's is in it, so that this one can't touch them.
    """
    ours = {
        **CREDENTIALS,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": engines["ministack"].url,
        "AWS_ENDPOINT_URL_DYNAMODB": engines["dynamodb"].url,
    }
    made = services.make(ours)
    settings = {
        "store": "dynamodb",
        "database": str(place / "shop.db"),
        "secret_key": secrets.token_urlsafe(48),
        **made.settings,
    }
    if "valkey" in engines:
        settings["cache_url"] = f"{engines['valkey'].url}/0"
    ours |= {f"{PREFIX}{k.upper()}": text for k, text in settings.items()}
    written = place / look.FILE
    written.touch(0o600)
    written.write_text("".join(f"{k}={text}\n" for k, text in (ours | dict(made.known)).items()))
    foreign = ("AWS_", PREFIX)
    kept = {k: text for k, text in os.environ.items() if not k.startswith(foreign)}
    return kept | ours, ours


def _storekeeper(environment: Mapping[str, str], *arguments: str, ending: Ending) -> None:
    """A command of the shop, to its end; what it says when all is well is for its own users."""
    with ended_after(
        subprocess.Popen(
            [*_COMMAND, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,
        ),
        whole_group=True,
    ) as process:
        while process.poll() is None:
            ending.check()
            time.sleep(POLL_SECONDS)
    if process.returncode != 0:
        raise Broken(f"`storekeeper {arguments[0]}` ended with code {process.returncode}")


def _opened(shop: subprocess.Popen[str], ending: Ending) -> str:
    """The shop's address, as soon as it takes requests."""
    assert shop.stdout is not None
    while True:
        ending.check()
        if select.select([shop.stdout], [], [], POLL_SECONDS)[0]:
            line = shop.stdout.readline()
            if not line:
                shop.wait()
                ending.check()
                raise Broken(f"the shop ended with code {shop.returncode}; its log is above")
            return str(json.loads(line)["url"])


def _told(place: Path, url: str, pid: int, ours: Mapping[str, str]) -> str:
    """What to do with it, in lines to copy."""
    run = os.path.relpath(place)
    looking = f"{os.path.relpath(sys.executable)} -m tools.aws_local look {run}"
    has = {name for name in ours if name.startswith(PREFIX)}
    lines = [
        "",
        f"  shop      {url} (process {pid}); its documentation: {url}/docs",
        f"  data      in memory; this node's replica in {run}; all of it goes with Ctrl-C",
        "",
        "Place an order, as a guest:",
        f"  curl -s {url}/orders -H 'Content-Type: application/json' \\",
        '    -d \'{"lines": [{"sku": "85123A", "quantity": 2}], '
        '"email": "ada@example.com", "confirm": true}\'',
        "",
        "See what it did there:",
        f"  {looking} tables",
    ]
    if f"{PREFIX}SNS_ORDERS_TOPIC" in has:
        lines.append(f"  {looking} messages")
    if f"{PREFIX}CLOUDWATCH_NAMESPACE" in has:
        lines += [f"  {looking} metrics", f"  {looking} alarms"]
    lines += [
        "",
        "Tokens of the user pool (grace is an admin, sam is staff, ada a customer):",
        f"  {looking} tokens",
        f"  curl -s {url}/users/me -H 'Authorization: Bearer TOKEN'",
        "",
        "Any other command, of the shop or of AWS, if you have its CLI, in a shell after",
        f"  set -a; . {run}/{look.FILE}; set +a",
        "such as `.venv/bin/storekeeper verify` or `aws sns list-topics`.",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
