"""Whoever left is forgotten by the log as well, and the shop stays what it is, row by row."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from storekeeper.domain.admission import Admitted
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.erasure import Gone, redacted
from storekeeper.services.account_records import email_claim
from storekeeper.store.dynamodb import entries
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.store.sqlite.transfer import chunks, snapshot_at
from tests.dynamodb.lives import ADDRESSES, Deed, Lives, deeds
from tests.dynamodb.logs import LogStore, MemoryLog, erased, filled, reading
from tests.support.builders import an_account
from tests.support.clock import Clock
from tests.support.ids import Ids

CHUNK_BYTES = 2_000


async def copied_lives(folder: Path, log: MemoryLog, before: list[Deed]) -> dict[str, set[str]]:
    """A shop from elsewhere, copied into the log row by row; what its people said."""
    clock, new_id = Clock(), Ids(1)
    store = SqliteStore(folder / "elsewhere.db", clock=clock, new_id=new_id)
    lives = Lives(store, clock, new_id, start=5_000)
    try:
        await lives.open()
        await lives.live(before)
    finally:
        lives.office.passwords.close()
        await store.close()
    with snapshot_at(folder / "elsewhere.db") as connection:
        for found in chunks(connection, CHUNK_BYTES):
            log.append_rows(found)
    log.append_rows(None)
    return lives.said


async def check(folder: Path, before: list[Deed] | None, after: list[Deed], seed: int) -> None:
    log, clock, new_id = MemoryLog(), Clock(), Ids()
    said = {} if before is None else await copied_lives(folder, log, before)
    store = LogStore(folder / "live.db", log, clock, new_id)
    lives = Lives(store, clock, new_id)
    lives.said.update(said)
    try:
        await store.follow()
        if before is None:
            await lives.open()
        await lives.live(after)
        await lives.part()
        deleted = await lives.deleted()
        kept = await store.digests()
        with reading(store.path) as reader:
            clean = erased(reader, log.written)
            assert erased(reader, clean) == clean
            held = {value for (value,) in reader.rows("SELECT value FROM claim")}
    finally:
        lives.office.passwords.close()
        await store.close()
    text = b"".join(one.text() for one in clean).lower()
    forgotten = set().union(*(lives.said[id] for id in deleted))
    assert [word for word in forgotten if word.casefold().encode() in text] == []
    if len(deleted) == len(lives.said):
        free = [address for address in ADDRESSES if address.casefold() not in held]
        assert [address for address in free if address.casefold().encode() in text] == []
    # Some nodes read an entry before it was erased, others after, others some of each.
    draw = random.Random(seed)
    mixed = [draw.choice(pair) for pair in zip(log.written, clean, strict=True)]
    cut = draw.randrange(len(clean) + 1)
    behind = log.written[:cut] + clean[cut:]
    for number, written in enumerate((clean, mixed, behind)):
        assert filled(folder / f"node-{number}.db", written) == kept


@settings(max_examples=settings().max_examples // 2)
@given(before=st.none() | deeds, after=deeds, seed=st.integers(0, 2**32))
def test_whatever_was_read_before_it_was_erased_every_node_has_the_same_rows(
    before: list[Deed] | None, after: list[Deed], seed: int
) -> None:
    """A node that has other rows than its neighbours sells what isn't there, or refuses somebody
    an address that is free."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder), before, after, seed))


def test_what_only_a_newer_version_knows_of_is_kept() -> None:
    """While nodes are updated one by one, an older one may rewrite what a newer one wrote."""
    ada, bob = an_account("ada"), an_account("bob")
    before = ChangeSet(puts=(Put(ada), Put(bob)), claims=(email_claim(ada.email, ada.id),))
    body = msgspec.json.decode(
        entries._unpack(entries.encode([Admitted(before, [])], ada.created_at))
    )
    body["changes"][0]["puts"][1][1]["pronoun"] = "he"
    body["changes"][0]["wishes"] = ["peace"]
    data = entries._pack(msgspec.json.encode(body))
    after = redacted(before, Gone({"ada"}, {}))
    kept = msgspec.json.decode(entries._unpack(entries.with_changes(data, [before], [after])))
    (change,) = kept["changes"]
    assert change["puts"][0][1]["email"] == ""
    assert change["puts"][1] == body["changes"][0]["puts"][1]
    assert (change["claims"], change["wishes"]) == ([], ["peace"])
