"""What DynamoDB charges for a request, by Amazon's published rules, from the items themselves.

The local engine's own count is wrong, so nothing is asked of it. Sizes are by "DynamoDB item sizes
and formats" and units by "DynamoDB read and write operations", both in Amazon's developer guide:
docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
…/read-write-operations.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore import register_initializer, unregister_initializer
from msgspec.structs import replace

from storekeeper.domain.types import Struct

WRITE_BYTES = 1_024
READ_BYTES = 4_096
# A list or map, and each element of one.
NESTED_BYTES = 3
ELEMENT_BYTES = 1
_CONTROL = frozenset(
    {
        "CreateTable",
        "DescribeTable",
        "DescribeTimeToLive",
        "UpdateTimeToLive",
        "DescribeContinuousBackups",
        "UpdateContinuousBackups",
    }
)
Item = Mapping[str, Mapping[str, Any]]


class Charge(Struct, frozen=True, kw_only=True):
    """Request units. `refused`: a condition failed, which costs what the write would have cost.
    `session`: which of the process's sessions asked, by the order in which they were made."""

    operation: str
    session: int = 0
    write: float = 0.0
    read: float = 0.0
    refused: bool = False


class Meter:
    """Charges for every request of the clients that are made while it runs."""

    def __init__(self) -> None:
        self._charges: list[Charge] = []
        # How many sessions were made until now.
        self.sessions = 0

    def take(self) -> list[Charge]:
        """The charges since the last time."""
        taken, self._charges = self._charges, []
        return taken

    def watch(self, session: Any) -> None:
        """For botocore: listens to every client of a new session."""
        session.register("provide-client-params.dynamodb", _keep_asked)
        session.register("after-call.dynamodb", partial(self._add, self.sessions))
        self.sessions += 1

    def _add(
        self, session: int, *, model: Any, parsed: Mapping[str, Any], context: Any, **_: Any
    ) -> None:
        made = charge(model.name, context["asked"], parsed)
        if made is not None:
            self._charges.append(replace(made, session=session))


@contextmanager
def metered() -> Iterator[Meter]:
    """A meter on all clients of this process that are made in the block."""
    meter = Meter()
    register_initializer(meter.watch)
    try:
        yield meter
    finally:
        unregister_initializer(meter.watch)


def charge(operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> Charge | None:
    """What a request costs; None for those on tables themselves, which are free.

    `answer` is parsed, and an error's too. Raises `ValueError` for an operation that can't be told
    from what goes over the wire.
    """
    if operation in _CONTROL:
        return None
    code = answer.get("Error", {}).get("Code", "")
    refused = code == "ConditionalCheckFailedException"
    if code and not refused:
        return Charge(operation=operation)
    if operation == "PutItem":
        size = max(item_size(asked["Item"]), item_size(answer.get("Item", {})))
        return Charge(operation=operation, write=write_units(size), refused=refused)
    if operation == "DeleteItem" and refused:
        # What was deleted, and so its size, isn't told; of what is refused, there is nothing.
        return Charge(operation=operation, write=write_units(0), refused=True)
    if operation == "TransactWriteItems" and all("Put" in one for one in asked["TransactItems"]):
        sizes = [item_size(one["Put"]["Item"]) for one in asked["TransactItems"]]
        return Charge(operation=operation, write=sum(2 * write_units(size) for size in sizes))
    if operation in ("Query", "GetItem"):
        found = answer.get("Items", [answer.get("Item", {})])
        size = sum(item_size(item) for item in found)
        consistent = bool(asked.get("ConsistentRead", False))
        return Charge(operation=operation, read=read_units(size, consistent=consistent))
    raise ValueError(f"what {operation} costs isn't known here")


def write_units(size: int) -> int:
    """Of one item of so many bytes; twice as much in a transaction."""
    return max(1, -(-size // WRITE_BYTES))


def read_units(size: int, *, consistent: bool) -> float:
    """Of one item, or of all that a Query reads together; one unit at least, even for nothing."""
    return max(1, -(-size // READ_BYTES)) * (1.0 if consistent else 0.5)


def item_size(item: Item) -> int:
    """Bytes of an item in the form of the wire, such as `{"pk": {"S": "log"}}`."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return _number_size(held)
    if kind == "B":
        return len(held)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "L":
        return NESTED_BYTES + sum(ELEMENT_BYTES + _value_size(one) for one in held)
    if kind == "M":
        return NESTED_BYTES + ELEMENT_BYTES * len(held) + item_size(held)
    if kind in ("SS", "NS", "BS"):
        return sum(_value_size({kind[0]: one}) for one in held)
    raise ValueError(f"DynamoDB has no type {kind}")


def _number_size(text: str) -> int:
    """A byte for two significant digits, and one; zeros before and after don't count."""
    digits = text.lower().partition("e")[0].lstrip("+-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1


def _keep_asked(*, params: Mapping[str, Any], context: Any, **_: Any) -> None:
    context["asked"] = params
