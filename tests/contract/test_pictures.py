"""Pictures that nobody shows are removed; one that a product shows never is, whoever edits it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid, StoreUnavailable
from storekeeper.domain.pictures import Picture, name_of
from storekeeper.media.folder import Folder
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import Catalog, ProductPatch
from storekeeper.services.images import Images
from tests.support.builders import details
from tests.support.shop import Engine, Shop, shop_at


class Desk:
    """Staff of a shop on one node: its pictures and its products."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.files = Folder(folder)
        self.images = Images(shop.tools, self.files)
        self.catalog = Catalog(shop.tools)

    async def upload(self, shade: int = 0) -> str:
        """A picture that was uploaded two days ago."""
        target = io.BytesIO()
        Image.new("RGB", (8, 8), (40 * shade, 0, 0)).save(target, "PNG")
        address = await self.images.keep(BY_SYSTEM, target.getvalue())
        self.shop.clock.advance(days=2)
        return address

    async def sell(self, address: str | None, sku: str = "MUG") -> str:
        made = await self.catalog.create(BY_SYSTEM, details(sku, image_url=address))
        return made.product.id

    async def show(self, product: str, address: str | None) -> None:
        await self.catalog.patch(BY_SYSTEM, product, ProductPatch(image_url=address))

    async def shown(self, product: str) -> str | None:
        return (await self.catalog.product(BY_SYSTEM.principal, product)).product.image_url

    async def is_there(self, address: str) -> bool:
        return await self.images.read(name_of(address) or "") is not None

    async def state(self, address: str) -> str:
        picture = await self.shop.store.get(Picture, name_of(address) or "")
        assert picture is not None
        return picture.state


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    return Desk(shop, tmp_path / "images")


async def test_pictures_are_in_use_by_products_on_sale_and_archived_ones(desk: Desk) -> None:
    first, second, third, none = [f"/images/{digit * 32}.webp" for digit in "abcd"]
    await desk.sell(first, "A")
    await desk.catalog.archive(BY_SYSTEM, await desk.sell(second, "B"))
    await desk.catalog.delete(BY_SYSTEM, await desk.sell(third, "C"))
    await desk.sell(None, "D")
    store = desk.shop.store
    assert await store.pictures_in_use([first, second, third, none]) == {first, second}
    assert await store.pictures_in_use([]) == set()


async def test_a_picture_goes_a_day_after_its_upload_unless_a_product_shows_it(desk: Desk) -> None:
    shown, unused = await desk.upload(1), await desk.upload(2)
    product = await desk.sell(shown)
    new = await desk.upload(3)
    desk.shop.clock.advance(days=-1, seconds=-1)
    assert await desk.images.remove_unused() == 1
    assert [await desk.is_there(one) for one in (shown, unused, new)] == [True, False, True]
    await desk.show(product, None)
    desk.shop.clock.advance(seconds=1)
    assert await desk.images.remove_unused() == 2
    assert not await desk.is_there(shown)
    assert not await desk.is_there(new)
    assert await desk.images.remove_unused() == 0


async def test_all_are_looked_at_however_many_there_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storekeeper.services.images.BATCH", 2)
    addresses = [await desk.upload(shade) for shade in range(5)]
    await desk.sell(addresses[3])
    assert await desk.images.remove_unused() == 4
    assert await desk.is_there(addresses[3])


async def test_what_was_removed_can_be_uploaded_again_but_not_shown_by_its_old_address(
    desk: Desk,
) -> None:
    old = await desk.upload()
    product = await desk.sell(None)
    assert await desk.images.remove_unused() == 1
    with pytest.raises(Invalid) as refused:
        await desk.show(product, old)
    assert refused.value.field == "image_url"
    with pytest.raises(Invalid):
        await desk.sell(old, "CUP")
    again = await desk.upload()
    assert again != old
    await desk.show(product, again)
    assert await desk.images.remove_unused() == 0
    assert await desk.is_there(again)


async def test_an_upload_of_the_same_picture_keeps_it_for_another_day(desk: Desk) -> None:
    address = await desk.upload()
    assert await desk.upload() == address
    desk.shop.clock.advance(days=-2)
    assert await desk.images.remove_unused() == 0
    assert await desk.is_there(address)


async def test_a_copy_of_a_shop_removes_nothing_that_the_first_one_may_show(desk: Desk) -> None:
    """Both may keep their pictures in one bucket."""
    address = await desk.upload()
    kept = await desk.shop.store.get(Picture, name_of(address) or "")
    assert kept is not None
    theirs = Picture(id=f"{'e' * 32}.webp", version=1, shop="another", kept_at=kept.kept_at)
    await desk.shop.store.commit(ChangeSet(puts=(Put(theirs),)))
    await desk.files.keep(theirs.id, b"pixels")
    assert await desk.images.remove_unused() == 1
    assert await desk.is_there(theirs.address)


def after_the_first(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, then: Callable[[], Awaitable[Any]]
) -> None:
    """Lets something happen between the answer to the first call and whoever asked."""
    ask: Callable[..., Awaitable[Any]] = getattr(place, name)
    happened: list[bool] = []

    async def asked(*args: Any, **named: Any) -> Any:
        answer = await ask(*args, **named)
        if not happened:
            happened.append(True)
            await then()
        return answer

    monkeypatch.setattr(place, name, asked)


async def test_a_picture_that_an_edit_begins_to_show_before_it_is_marked_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await desk.upload()
    product = await desk.sell(None)
    with monkeypatch.context() as patch:
        after_the_first(
            patch, desk.shop.store, "pictures_in_use", lambda: desk.show(product, address)
        )
        assert await desk.images.remove_unused() == 0
    assert await desk.is_there(address)
    assert await desk.state(address) == "kept", "another product may show it too"
    await desk.sell(address, "CUP")


async def test_an_edit_that_saw_a_picture_before_it_was_removed_is_told_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await desk.upload()
    product = await desk.sell(None)
    with monkeypatch.context() as patch:
        seen: list[bool] = []
        get = desk.shop.store.get

        async def seen_then_removed(kind: Any, id: str) -> Any:
            found = await get(kind, id)
            if kind is Picture and not seen:
                seen.append(True)
                assert await desk.images.remove_unused() == 1
            return found

        patch.setattr(desk.shop.store, "get", seen_then_removed)
        with pytest.raises(Invalid):
            await desk.show(product, address)
    assert await desk.shown(product) is None
    assert not await desk.is_there(address)


async def test_edits_uploads_and_sweeps_of_two_nodes_leave_no_product_without_its_picture(
    engine: Engine, tmp_path: Path
) -> None:
    async with (
        shop_at(engine, tmp_path, node=1) as here,
        shop_at(engine, tmp_path, node=2) as there,
    ):
        one, other = Desk(here, tmp_path / "images"), Desk(there, tmp_path / "images")
        addresses = [await one.upload(shade) for shade in range(6)]
        products = [await one.sell(None, f"MUG{number}") for number in range(6)]
        there.clock.set(here.clock())
        await there.store.catch_up()
        pairs = list(zip(products, addresses, strict=True))
        answers = await asyncio.gather(
            *(other.show(product, address) for product, address in pairs[:4]),
            one.images.remove_unused(),
            other.images.remove_unused(),
            *(one.show(product, address) for product, address in pairs[2:]),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(error, Invalid) for error in refused), refused
        await here.store.catch_up()
        for product, address in pairs:
            shown = await one.shown(product)
            assert shown in (None, address)
            assert shown is None or await one.is_there(address)


async def test_a_removal_that_was_interrupted_is_finished_or_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await desk.upload()

    async def away(name: str) -> None:
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(desk.files, "remove", away)
        with pytest.raises(StoreUnavailable):
            await desk.images.remove_unused()
    assert await desk.state(address) == "leaving"
    with pytest.raises(Invalid):
        await desk.sell(address)
    assert await desk.upload() != address, "its file may go at any time"
    assert await desk.images.remove_unused() == 2
    assert await desk.state(address) == "gone"


async def test_what_is_known_of_a_removed_picture_goes_with_other_records_of_its_time(
    desk: Desk,
) -> None:
    address = await desk.upload()
    await desk.images.remove_unused()
    desk.shop.clock.advance(days=29)
    assert await desk.shop.store.purge(desk.shop.clock(), 10) == 0
    desk.shop.clock.advance(days=2)
    assert await desk.shop.store.purge(desk.shop.clock(), 10) == 1
    assert await desk.upload() == address
