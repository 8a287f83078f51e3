"""The shop's own clients of AWS in this test process, watched: what they call, and by which right of
the machines' role (`deploy.aws.rights`) a machine may.

Nothing is held up or refused here. What tests call themselves is nobody's, and operators (`init`,
`copy`, `verify`) have rights of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, Literal

import botocore.session
from aiobotocore.session import AioSession

from deploy.aws.rights import Things, rights
from storekeeper import aws
from storekeeper.notify.sns import client as sns
from storekeeper.store.dynamodb import checking, opening, setup
from storekeeper.store.dynamodb import rights as tried
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.store.sqlite.streaming import s3 as streaming
from tests.support.iam import TOPICS_KEY, Need, needs

# A right that is only tried must be there, and is no less superfluous for it.
Who = Literal["machine", "trial", "other"]
_who: ContextVar[Who] = ContextVar("who calls", default="machine")
# Names differ from test to test; `tests/deploy/test_engine.py` knows those of a deployment.
THINGS = Things(
    tables={table: f"arn:aws:dynamodb:*:*:table/*{table.name}" for table in TABLES},
    topics=["arn:aws:sns:*:*:*"],
    topics_key=TOPICS_KEY,
    files="arn:aws:s3:::*",
    snapshots="*snapshots/",
    releases="arn:aws:s3:::*releases*",
    secrets=["arn:aws:secretsmanager:*:*:secret:*"],
    logs=[f"arn:aws:logs:*:*:log-group:/storekeeper/*{streams}" for streams in ("", ":*")],
    namespace="*",
)
# Actions and resources; a resource may be a pattern.
ALLOWED = [
    Need(action, resource)
    for right in rights(THINGS)
    for action in right.actions
    for resource in right.resources
]


def allowing(need: Need) -> Need | None:
    """The right by which the role may; None where it may not."""
    found = (one for one in ALLOWED if one.action == need.action)
    return next((one for one in found if fnmatchcase(need.resource, one.resource)), None)


class Watch:
    """`calls`: what a machine called, and by which right. `denied`: what the role doesn't allow."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.denied: list[str] = []

    def see(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Called by a client before it makes anything of the call's parameters."""
        who = _who.get()
        if who == "other":
            return
        call = f"{model.service_model.service_name}.{model.name}"
        try:
            wanted = needs(model.service_model.service_name, model.name, params)
        except KeyError:
            self.denied.append(f"{call}: tests.support.iam doesn't know what it needs")
            return
        for need in wanted:
            right = allowing(need)
            if right is None:
                self.denied.append(f"{call}: {need.action} on {need.resource}")
            elif who == "machine":
                self.calls.add(f"{call}: {right.action} on {right.resource}")


WATCH = Watch()


class WatchedSession(AioSession):
    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.register("provide-client-params", WATCH.see)


def watched_session() -> Any:
    """A session of botocore, for what machines do beside the shop."""
    session: Any = botocore.session.Session()
    session.register("provide-client-params", WATCH.see)
    return session


class OwnRemote(Remote):
    """A test's own way to DynamoDB, for what no machine does."""

    async def _do(self, *given: Any, **more: Any) -> Any:
        with acting("other"):
            return await super()._do(*given, **more)


@contextmanager
def acting(who: Who) -> Iterator[None]:
    """What an operator's command or a test does on the way is its own too."""
    token = _who.set(who if _who.get() == "machine" else _who.get())
    try:
        yield
    finally:
        _who.reset(token)


def begin() -> None:
    """From now on, each client that the shop opens is watched."""
    aws.AioSession = WatchedSession  # type: ignore[attr-defined]
    create_tables = acting("other")(setup.create_tables)
    setup.create_tables = opening.create_tables = create_tables  # type: ignore[attr-defined]
    opening.copy_shop = acting("other")(opening.copy_shop)
    # What `verify` looks at is its own; it brings the tables up as any machine does.
    checking.ask_for_rights = _acting("other", checking.ask_for_rights)  # type: ignore[attr-defined]
    checking._page = _acting("other", checking._page)
    checking.Checker._read = _acting("other", checking.Checker._read)  # type: ignore[method-assign]
    sns.SnsClient.make = _acting("other", sns.SnsClient.make)  # type: ignore[method-assign]
    tried._try_one = _acting("trial", tried._try_one)
    streaming.open_prefix = _by_operators(streaming.open_prefix)


def _by_operators(opened: Callable[..., Any]) -> Callable[..., Any]:
    """A continuous backup is of shops without machines at AWS, and has a role of its own."""

    @asynccontextmanager
    async def done(*given: Any, **more: Any) -> AsyncIterator[Any]:
        with acting("other"):
            async with opened(*given, **more) as target:
                yield target

    return done


def _acting(who: Who, work: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @wraps(work)
    async def done(*given: Any, **more: Any) -> Any:
        with acting(who):
            return await work(*given, **more)

    return done
