"""A picture that was kept is there, whole, wherever pictures are kept."""

from __future__ import annotations

import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from storekeeper.app.outside import pictures_of
from storekeeper.config import Settings
from storekeeper.domain.errors import Invalid, StoreUnavailable
from storekeeper.media.port import Pictures
from storekeeper.media.recode import recoded
from tests.support import local_engines

NAME = "0" * 32 + ".webp"


@pytest.fixture(params=["folder", "bucket"])
async def pictures(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pictures]:
    place = {"database": str(tmp_path / "shop.db")}
    if request.param == "bucket":
        place |= await a_bucket(monkeypatch)
    found = pictures_of(Settings(**place))  # type: ignore[arg-type]
    yield found
    await found.close()


async def a_bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    from aiobotocore.session import AioSession

    local_engines.use_local_credentials(monkeypatch)
    endpoint, name = local_engines.url("moto"), f"shop-{uuid.uuid4().hex[:12]}"
    async with AioSession().create_client(
        "s3", region_name="eu-west-1", endpoint_url=endpoint
    ) as client:
        await client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    return {"image_bucket": name, "image_endpoint_url": endpoint, "aws_region": "eu-west-1"}


async def test_what_was_kept_is_read_and_once_more_changes_nothing(pictures: Pictures) -> None:
    assert await pictures.read(NAME) is None
    await pictures.keep(NAME, b"pixels")
    await pictures.keep(NAME, b"pixels")
    assert await pictures.read(NAME) == b"pixels"


async def test_what_was_removed_is_gone_and_once_more_changes_nothing(pictures: Pictures) -> None:
    other = "1" * 32 + ".webp"
    await pictures.keep(NAME, b"pixels")
    await pictures.keep(other, b"others")
    await pictures.remove(NAME)
    await pictures.remove(NAME)
    assert await pictures.read(NAME) is None
    assert await pictures.read(other) == b"others"


async def test_a_place_that_can_not_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing may refer to a picture that isn't kept."""
    (tmp_path / "images").write_text("in the way")
    folder = pictures_of(Settings(database=str(tmp_path / "shop.db")))
    local_engines.use_local_credentials(monkeypatch)
    bucket = pictures_of(
        Settings(
            image_bucket="nowhere", image_endpoint_url="http://127.0.0.1:9", aws_region="eu-west-1"
        )
    )
    for place in (folder, bucket):
        with pytest.raises(StoreUnavailable):
            await place.keep(NAME, b"pixels")
        with pytest.raises(StoreUnavailable):
            await place.read(NAME)
        with pytest.raises(StoreUnavailable):
            await place.remove(NAME)
        await place.close()


def test_what_is_clear_stays_clear_and_what_moves_stands_still() -> None:
    source = io.BytesIO()
    frames = [Image.new("RGBA", (30, 20), (255, 0, 0, level)) for level in (0, 255)]
    frames[0].save(source, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(io.BytesIO(recoded(source.getvalue()))) as picture:
        assert (picture.format, picture.size, picture.mode) == ("WEBP", (30, 20), "RGBA")
        assert not getattr(picture, "is_animated", False)
        assert picture.getpixel((0, 0))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_taken(mode: str) -> None:
    source = io.BytesIO()
    Image.new(mode, (8, 8)).save(source, "JPEG" if mode == "CMYK" else "PNG")
    with Image.open(io.BytesIO(recoded(source.getvalue()))) as picture:
        assert picture.size == (8, 8)


def test_a_broken_profile_is_no_broken_picture() -> None:
    source = io.BytesIO()
    Image.new("RGB", (8, 8)).save(source, "JPEG", icc_profile=b"nonsense")
    assert b"nonsense" not in recoded(source.getvalue())
    with pytest.raises(Invalid):
        recoded(b"")
