"""The shop's own clients of AWS in this test process, watched: each call has to be one that the
machines' role may make, as `deploy.aws.rights` gives it, and is written down.

A call that the role may not make is refused as AWS would refuse it, and fails the test during which
it was made. What operators do (`init`, `copy`, `verify`) is held to their rights. Clients that tests
open themselves are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Literal

import botocore.exceptions as failures
from aiobotocore.session import AioSession

from deploy.aws.rights import Things, rights
from storekeeper.media import s3
from storekeeper.notify.sns import client as sns
from storekeeper.store.dynamodb import bucket, checking, opening, remote, setup
from storekeeper.store.dynamodb import rights as tried
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.telemetry.cloudwatch import client as cloudwatch
from tests.support.iam import TOPICS_KEY, Grant, Need, grants, needs

Principal = Literal["machine", "trial", "operator", "test"]
# Who calls: by the context of the call, as some clients serve several.
WHO: ContextVar[Principal] = ContextVar("who calls", default="machine")
# Names differ from test to test, so they are patterns here; `tests/deploy/test_engine.py` holds the
# policy that is deployed to the very names.
THINGS = Things(
    tables={table: f"arn:aws:dynamodb:*:*:table/*{table.name}" for table in TABLES},
    topics=["arn:aws:sns:*:*:*"],
    topics_key=TOPICS_KEY,
    files="arn:aws:s3:::*",
    snapshots="*snapshots/",
    releases="arn:aws:s3:::*releases*",
    secrets=["arn:aws:secretsmanager:*:*:secret:*"],
    logs=[f"arn:aws:logs:*:*:log-group:/storekeeper/*{streams}" for streams in ("", ":*")],
    signal="arn:aws:cloudformation:*:*:stack/*",
    namespace="*",
)
# Beside a machine's, on each table; docs/dynamodb.md lists them.
OF_OPERATORS = (
    *("CreateTable", "UpdateTable", "DescribeTimeToLive", "UpdateTimeToLive"),
    *("DescribeContinuousBackups", "UpdateContinuousBackups", "Scan", "Query"),
)


def statements() -> list[dict[str, Any]]:
    """The policy of the role, as IAM has it."""
    return [
        {
            "Effect": "Allow",
            "Action": list(right.actions),
            "Resource": list(right.resources),
            "Condition": dict(right.conditions or {}),
        }
        for right in rights(THINGS)
    ]


OF_MACHINE = grants(statements())
_OF_OPERATOR = [
    *OF_MACHINE,
    *(Grant(f"dynamodb:{action}", "arn:aws:dynamodb:*:*:table/*") for action in OF_OPERATORS),
]


class Watch:
    """`calls`: what a machine called, with what allows it. `denied`: what nothing allows."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.denied: list[str] = []
        self._known: dict[tuple[Need, bool], Grant | None] = {}

    def see(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Called by the client before it makes anything of the call's parameters."""
        who = WHO.get()
        if who == "test":
            return
        service, operation = model.service_model.service_name, model.name
        for need in needs(service, operation, params):
            found = self._grant(need, who == "operator")
            if found is None:
                self.denied.append(f"{need.action} on {need.resource} ({who}'s)")
                raise refusal(need, operation)
            if who == "machine":
                self.calls.add(f"{service}.{operation}: {found}")

    def _grant(self, need: Need, is_operator: bool) -> Grant | None:
        key = (need, is_operator)
        if key not in self._known:
            some = _OF_OPERATOR if is_operator else OF_MACHINE
            self._known[key] = next((one for one in some if one.allows(need)), None)
        return self._known[key]


def refusal(need: Need, operation: str) -> failures.ClientError:
    told = f"the role is not authorized to perform {need.action} on {need.resource}"
    return failures.ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": told}}, operation
    )


WATCH = Watch()


class WatchedSession(AioSession):
    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.register("provide-client-params", WATCH.see)


class OwnRemote(Remote):
    """A test's own way to DynamoDB, for what no role of the shop does."""

    async def _do(self, *given: Any, **more: Any) -> Any:
        with acting("test"):
            return await super()._do(*given, **more)


@contextmanager
def acting(who: Principal) -> Iterator[None]:
    token = WHO.set(who)
    try:
        yield
    finally:
        WHO.reset(token)


def begin() -> None:
    """From now on, each client that the shop opens is watched."""
    for module in (bucket, cloudwatch, remote, s3, sns):
        module.AioSession = WatchedSession  # type: ignore[attr-defined]
    for module in (opening, setup):
        module.create_tables = _by(setup.create_tables, "operator")  # type: ignore[attr-defined]
    opening.copy_shop = _by(opening.copy_shop, "operator")
    checker = checking.Checker
    checker.differences = _by_async(checker.differences, "operator")  # type: ignore[method-assign]
    tried._try_one = _trying(tried._try_one)


def _by(work: Callable[..., Any], who: Principal) -> Callable[..., Any]:
    @wraps(work)
    def done(*given: Any, **more: Any) -> Any:
        with acting(who):
            return work(*given, **more)

    return done


def _trying(work: Callable[..., Any]) -> Callable[..., Any]:
    """Rights are tried for their own sake; that isn't a use of them."""

    @wraps(work)
    async def done(*given: Any, **more: Any) -> Any:
        with acting("trial" if WHO.get() == "machine" else WHO.get()):
            return await work(*given, **more)

    return done


def _by_async(work: Callable[..., Any], who: Principal) -> Callable[..., Any]:
    @wraps(work)
    async def done(*given: Any, **more: Any) -> Any:
        with acting(who):
            return await work(*given, **more)

    return done
