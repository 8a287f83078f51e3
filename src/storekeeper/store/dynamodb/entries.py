"""An entry of the log as bytes: change sets that one node decided together, or rows of a copy.

An entry says what was admitted, when, and under which ids stock alerts were raised. With that,
deciding it again on any node that has followed the log up to here gives the same rows. A shop that
was copied here begins with entries of another format: its rows, to be written as they are.

An entry whose personal data was erased says so by its format, as replaying it takes one more step
(`store.dynamodb.erased`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from storekeeper.domain.admission import Admitted
from storekeeper.domain.changes import ChangeSet, Check, Claim, Delete, LevelIs, Put, Release
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.events import Event
from storekeeper.domain.stock import Movement
from storekeeper.domain.types import ProductId
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.transfer import Row, Rows

FORMAT = 1
ROWS_FORMAT = 2
# What each becomes when something of it is erased.
ERASED_FORMATS = {FORMAT: 3, ROWS_FORMAT: 4}
ROWS_FORMATS = frozenset({ROWS_FORMAT, ERASED_FORMATS[ROWS_FORMAT]})
_NEWEST = max(ERASED_FORMATS.values())
# What nearly every entry says, so that even a single order compresses well. Never change it:
# entries that were written with it are read with it. Another one needs another FORMAT.
_WORDS = (
    b'{"puts":[["Session",{"id":"","version":1,"account_id":"","family_id":"","expires_at":""'
    b'["Lease",{"id":"lease:background","version":1,"holder":"","until":""}]'
    b'["Position",{"id":"position:console","version":1,"sink":"","seq":'
    b'"claims":[{"scope":"sku","value":"","owner":"","note":""}],"releases":[],"levels":[],'
    b'["Product",{"id":"","version":1,"sku":"","name":"","description":"","price":'
    b'"currency":"GBP","category":"","tags":[],"image_url":null,"attributes":{},"status":"active",'
    b'"track_stock":true,"allow_backorder":false,"low_stock_threshold":null,"options":{},'
    b'"created_at":"2026-11-24T09:00:00.000000Z","updated_at":"2026-11-24T09:00:00.000000Z"}]'
    b'"deletes":[],"checks":[["Product","019',
    b'["Order",{"id":"","version":1,"number":"","state":"confirmed","placed_at":"2026-11-24T0',
    b'","customer_id":"","email":"","note":"","lines":[{"line_number":1,"product_id":"","sku":"",'
    b'"name":"","quantity":1,"unit_price":{"amount":100,"currency":"GBP"},"allocations":'
    b'[{"location_id":"main","quantity":1}],"shipped":0,"returned":0}],"shipping_address":null,'
    b'"timeline":[{"state":"pending","at":"2026-11-24T09:00:00Z","by":"","reason":""}],'
    b'"expires_at":null,"total":{"amount":',
    b'"unreferenced":[],"movements":[{"id":"","product_id":"","location_id":"main","on_hand":-1,'
    b'"reserved":0,"reason":"sold","at":"2026-11-24T09:00:00Z","by":"","reference":"order:","note"'
    b':""}],"events":[{"id":"","kind":"order.placed","subject":"order:","at":"","data":{"order_id":'
    b'"","number":"","state":"pending","customer_id":"","total":,"currency":"GBP","lines":3}},'
    b'{"id":"","kind":"order.confirmed","subject":"order:',
)
_DICTIONARY = b"".join(_WORDS)


class Entry(NamedTuple):
    """Change sets that the node `node` admitted together as number `seq`, at the time `at`."""

    seq: int
    at: datetime
    alert_ids: tuple[str, ...]
    changes: tuple[ChangeSet, ...]
    node: str
    is_erased: bool = False


class Copied(NamedTuple):
    """Rows of the shop that is copied here, as number `seq`. `copy` names the copy; `written` rows
    are in the log with this one; the last entry, without rows, ends it."""

    seq: int
    copy: str
    written: int
    found: Rows | None
    is_erased: bool = False


class _Change(msgspec.Struct, frozen=True, omit_defaults=True):
    puts: tuple[tuple[str, msgspec.Raw], ...] = ()
    deletes: tuple[Delete, ...] = ()
    checks: tuple[Check, ...] = ()
    claims: tuple[Claim, ...] = ()
    releases: tuple[Release, ...] = ()
    levels: tuple[LevelIs, ...] = ()
    unreferenced: tuple[ProductId, ...] = ()
    movements: tuple[Movement, ...] = ()
    events: tuple[Event, ...] = ()


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    at: datetime
    changes: tuple[_Change, ...]
    alert_ids: tuple[str, ...] = ()


class _Rows(msgspec.Struct, frozen=True, omit_defaults=True):
    copy: str
    written: int
    table: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Body).decode
_decode_rows = msgspec.msgpack.Decoder(_Rows).decode


def encode(admitted: Sequence[Admitted], at: datetime) -> bytes:
    """What goes into the log, compressed."""
    body = _Body(
        at=at,
        changes=tuple(_wire(result.change) for result in admitted),
        alert_ids=tuple(event.id for result in admitted for event in result.events),
    )
    return _pack(_encode(body))


def encode_rows(copy: str, written: int, found: Rows | None) -> bytes:
    """Rows of a copy, or None for its end, compressed."""
    body = _Rows(copy, written, *found) if found else _Rows(copy, written)
    return zlib.compress(msgspec.msgpack.encode(body))


def decode(seq: int, format: int, data: bytes, node: str) -> Entry | Copied:
    """The entry; raises `StoreUnavailable` for one that this version can't read."""
    if not FORMAT <= format <= _NEWEST:
        raise StoreUnavailable(
            f"entry {seq} of the log has format {format}, this Storekeeper knows up to "
            f"{_NEWEST}; update Storekeeper on this machine"
        )
    is_erased = format in ERASED_FORMATS.values()
    try:
        if format in ROWS_FORMATS:
            rows = _decode_rows(zlib.decompress(data))
            found = Rows(rows.table, rows.columns, rows.rows) if rows.table else None
            return Copied(seq, rows.copy, rows.written, found, is_erased)
        body = _decode(_unpack(data))
        changes = tuple(_change(change) for change in body.changes)
    except (zlib.error, msgspec.MsgspecError, KeyError) as error:
        raise StoreUnavailable(f"entry {seq} of the log is damaged: {error}") from error
    return Entry(seq, body.at, body.alert_ids, changes, node, is_erased)


def with_changes(data: bytes, before: Sequence[ChangeSet], after: Sequence[ChangeSet]) -> bytes:
    """An entry with puts, claims and releases as in `after` instead of `before`, what it was
    decoded as. All else stays as it was written, also what only a newer version knows of."""
    body = msgspec.json.decode(_unpack(data))
    for wire, old, new in zip(body["changes"], before, after, strict=True):
        if new is old:
            continue
        for at, (was, put) in enumerate(zip(old.puts, new.puts, strict=True)):
            if put is not was:
                wire["puts"][at][1] = msgspec.to_builtins(put.record)
        for name in ("claims", "releases"):
            pairs = zip(wire.get(name, ()), getattr(old, name), strict=True)
            wire[name] = [written for written, one in pairs if one in getattr(new, name)]
    return _pack(_encode(body))


def with_rows(data: bytes, rows: Sequence[Row]) -> bytes:
    """An entry of a copy with other rows of the same table."""
    body = msgspec.msgpack.decode(zlib.decompress(data))
    return zlib.compress(msgspec.msgpack.encode({**body, "rows": rows}))


def _pack(body: bytes) -> bytes:
    packer = zlib.compressobj(6, zdict=_DICTIONARY)
    return packer.compress(body) + packer.flush()


def _unpack(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(zdict=_DICTIONARY)
    return unpacker.decompress(data) + unpacker.flush()


def _wire(change: ChangeSet) -> _Change:
    return _Change(
        puts=tuple(
            (type(record).__name__, msgspec.Raw(_encode(record))) for (record,) in change.puts
        ),
        **{name: getattr(change, name) for name in _SAME},
    )


def _change(wire: _Change) -> ChangeSet:
    records: list[Any] = [
        kinds.decode(kinds.BY_NAME[kind], bytes(doc).decode()) for kind, doc in wire.puts
    ]
    return ChangeSet(
        puts=tuple(Put(record) for record in records),
        **{name: getattr(wire, name) for name in _SAME},
    )


_SAME = tuple(name for name in ChangeSet.__struct_fields__ if name != "puts")
