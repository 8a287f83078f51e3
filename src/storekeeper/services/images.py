"""Pictures of products: taken from staff, made safe, kept under a name of their own, and removed
when no product shows them (`domain.pictures`)."""

from __future__ import annotations

import asyncio
import hashlib

from storekeeper.domain.changes import ChangeSet, Check, Put, Stale
from storekeeper.domain.errors import Invalid, Overloaded
from storekeeper.domain.pictures import ADDRESS, NAME, Picture, name_of
from storekeeper.media.port import Pictures
from storekeeper.services.base import Call, Tools, require, with_fresh_reads
from storekeeper.store.port import Store

MOST_BYTES = 10_000_000
MEDIA_TYPE = "image/webp"
# Each that waits is in memory as it came.
MOST_WAITING = 8
# Records that are looked at together when unused ones are removed.
BATCH = 200
REMOVED = "this picture was removed because no product showed it; upload it again"
_DIGITS = 32


class Images:
    """One picture is decoded at a time, on a thread: decoding is what takes memory."""

    def __init__(self, tools: Tools, pictures: Pictures) -> None:
        self._store = tools.store
        self._clock = tools.clock
        self._pictures = pictures
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def keep(self, call: Call, data: bytes) -> str:
        """The path under which the picture is served from now on.

        Raises `Invalid` for what is no picture, `Overloaded` while too many are being made.
        """
        require(call, "products:write")
        if self._waiting >= MOST_WAITING:
            raise Overloaded("many pictures are being made; try again shortly", retry_after=10)
        self._waiting += 1
        try:
            async with self._turn:
                made = await asyncio.to_thread(_recoded, data)
        finally:
            self._waiting -= 1
        return f"{ADDRESS}{await with_fresh_reads(lambda: self._keep(made))}"

    async def close(self) -> None:
        await self._pictures.close()

    async def read(self, name: str) -> bytes | None:
        """None for a name that none of ours has."""
        return await self._pictures.read(name) if NAME.fullmatch(name) else None

    async def remove_unused(self) -> int:
        """Removes pictures that were uploaded a day ago or more and that no product shows; answers
        how many. A few at a time: it reads `BATCH` of their records, asks which are in use, goes on.
        """
        removed = 0
        cursor: str | None = None
        while True:
            page = await self._store.list_all(Picture, limit=BATCH, cursor=cursor)
            now = self._clock()
            old = [one for one in page.items if one.may_go(self._store.identity, now)]
            used = await self._in_use(old)
            for picture in old:
                if picture.address not in used or picture.state == "leaving":
                    removed += await self._remove(picture)
            if page.next is None:
                return removed
            cursor = page.next

    async def _keep(self, made: bytes) -> str:
        """Records the picture before its file, so that none is left which nobody knows of. Each
        shop has names of its own, and what was removed comes back under another one."""
        digest = hashlib.sha256(self._store.identity.encode() + b"\n" + made)
        while True:
            name = f"{digest.hexdigest()[:_DIGITS]}.webp"
            kept = await self._store.get(Picture, name)
            if kept is None or kept.state == "kept":
                break
            digest.update(b"again")
        picture = Picture(
            id=name,
            version=1 if kept is None else kept.version + 1,
            shop=self._store.identity,
            kept_at=self._clock(),
        )
        await self._store.commit(ChangeSet(puts=(Put(picture),)))
        await self._pictures.keep(name, made)
        return name

    async def _remove(self, picture: Picture) -> bool:
        """Nothing where somebody keeps it again, or began to show it, meanwhile."""
        try:
            if picture.state == "kept":
                picture = await self._turned(picture.turned("leaving", self._clock()))
            if await self._in_use([picture]):
                await self._turned(picture.turned("kept", self._clock()))
                return False
            await self._pictures.remove(picture.id)
            await self._turned(picture.turned("gone", self._clock()))
        except Stale:
            return False
        return True

    async def _turned(self, picture: Picture) -> Picture:
        await self._store.commit(ChangeSet(puts=(Put(picture),)))
        return picture

    async def _in_use(self, pictures: list[Picture]) -> set[str]:
        """The addresses of those that a product shows now."""
        if not pictures:
            return set()
        return await self._store.pictures_in_use([one.address for one in pictures])


async def checked_picture(
    store: Store, before: str | None, address: str | None
) -> tuple[Check, ...]:
    """The guard that a picture of ours which a product begins to show stays. Raises `Invalid` for
    one that was removed."""
    name = name_of(address)
    if name is None or address == before:
        return ()
    picture = await store.get(Picture, name)
    if picture is None:
        return ()
    if picture.state != "kept":
        raise Invalid(REMOVED, field="image_url")
    return (Check("Picture", name, picture.version),)


def _recoded(data: bytes) -> bytes:
    # The library is loaded with the first picture: most commands never see one.
    from storekeeper.media.recode import recoded

    return recoded(data)
