"""`serve`: prepares the shop's file once, says where to look, then runs the server."""

from __future__ import annotations

import functools
import os
from typing import Annotated

import typer

from storekeeper import __version__
from storekeeper.cli.console import Console, counted, run
from storekeeper.cli.options import Config, Database, Json, StoreKind, settings_of
from storekeeper.cli.progress import Bars
from storekeeper.config import Settings
from storekeeper.domain.accounts import Role

ADMIN_EMAIL = "admin@example.com"
CUSTOMER_EMAIL = "customer@example.com"


def serve(
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Load the demo shop and make two accounts, the first time."),
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; 127.0.0.1 by default.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port to listen on; 8000 by default, 0 takes any.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that answer; 1 by default.", show_default=False),
    ] = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Serve the shop: its API and its documentation.

    Makes the file if it is missing and brings it up to date. Logs go to stderr. SIGTERM or Ctrl-C
    stops taking requests, finishes those that run, and ends. With --json, stdout gets one line of
    JSON as soon as requests are taken: url, database, version, workers, pid.

    \b
    Examples:
      storekeeper serve --demo                    look around
      storekeeper serve --port 9000 --workers 4   more cores on the same file
      storekeeper serve --port 0 --json           any free port, told to a program
      STOREKEEPER_LOG_FORMAT=console storekeeper serve
    """
    from storekeeper.cli.server import listen, serve_alone
    from storekeeper.cli.supervisor import serve_with_workers

    console = Console(as_json)
    settings = settings_of(database, config, store, host=host, port=port, workers=workers)
    with listen(settings.host, settings.port) as listening:
        _prepare(settings, demo, console)
        address = _address(settings.host, listening.getsockname()[1])
        told = functools.partial(_tell, console, settings, address)
        if settings.workers == 1:
            serve_alone(settings, listening, told)
        else:
            serve_with_workers(settings, listening, told)


def _prepare(settings: Settings, with_demo: bool, console: Console) -> None:
    """Everything that only one process may do, before any request is taken."""
    from storekeeper.cli.shops import opened

    async def made() -> None:
        async with opened(settings):
            pass

    if not settings.exists and not with_demo:
        console.say(f"making an empty shop at {settings.place}")
    if with_demo:
        run(_with_demo(settings, console))
    elif settings.workers > 1:
        run(made())


async def _with_demo(settings: Settings, console: Console) -> None:
    from storekeeper.cli.commands.setting_up import new_password
    from storekeeper.cli.shops import opened
    from storekeeper.demo.loader import is_loaded, load_demo, require_room
    from storekeeper.services.base import BY_SYSTEM

    passwords: dict[str, str] = {}
    async with opened(settings) as shop:
        if await is_loaded(shop.store):
            return
        await require_room(shop.store)
        if not await shop.store.admins():
            wanted: tuple[tuple[Role, str, str], ...] = (
                ("admin", ADMIN_EMAIL, "Admin"),
                ("customer", CUSTOMER_EMAIL, "Customer"),
            )
            for role, email, name in wanted:
                password = new_password()
                await shop.accounts.create(
                    BY_SYSTEM, email=email, name=name, role=role, password=password
                )
                passwords[email] = password
    # Shown whatever becomes of the loading: they are kept nowhere.
    if passwords:
        _show_once(passwords, console)
    with Bars() as bars:
        loaded = await load_demo(
            lambda clock: opened(settings, clock),
            customer_email=CUSTOMER_EMAIL,
            watch=bars,
        )
    console.say(
        f"loaded the demo shop: {counted(loaded.products, 'product')}, "
        f"{counted(loaded.orders, 'order')}"
    )


def _show_once(passwords: dict[str, str], console: Console) -> None:
    from rich.console import Console as RichConsole
    from rich.panel import Panel
    from rich.text import Text

    width = max(map(len, passwords))
    lines = [f"{email:<{width}}  {password}" for email, password in passwords.items()]
    RichConsole(highlight=False, soft_wrap=True, stderr=console.as_json).print(
        Panel.fit(Text("\n".join(lines)), title="Log in with these; shown only now")
    )


def _tell(console: Console, settings: Settings, address: str) -> None:
    console.say(
        f"{settings.shop_name} is open ({settings.place})\n"
        f"  shop   {address}/shop\n"
        f"  staff  {address}/admin\n"
        f"  API    {address}/products\n"
        f"  docs   {address}/docs\n"
        "Ctrl-C stops it."
    )
    console.line(
        {
            "url": address,
            "database": settings.place,
            "version": __version__,
            "workers": settings.workers,
            "pid": os.getpid(),
        }
    )


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - only shown
    return f"http://{f'[{shown}]' if ':' in shown and not shown.startswith('[') else shown}:{port}"
