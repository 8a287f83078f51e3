"""A file that staff upload is worked off whole, told row by row, and never in memory as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.contract import Contract
from tests.api.shopfront import Seed, in_one_task, seed_shop
from tests.web.office import Office, another_office, front_for_pages

IMPORTS = "/admin/products/imports"
HEADER = "sku,name,price\n"
TWO = HEADER + "CUP,A cup,5\nMUG,Another mug,9.50\n"
ONE_BAD = TWO + "BAD,Bad,x\n"
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def shop_seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="module")
def contracts() -> dict[str, Contract]:
    return {}


@pytest.fixture
async def office(
    tmp_path: Path, shop_seed: Seed, contracts: dict[str, Contract]
) -> AsyncIterator[Office]:
    opened = front_for_pages(tmp_path, shop_seed, contracts, max_upload_bytes=MOST_BYTES)
    async with in_one_task(opened) as front, another_office(front, "root") as office:
        yield office


async def upload(office: Office, text: str, **typed: str) -> None:
    await office.go(IMPORTS)
    await office.send(IMPORTS, typed, file=("file", ("goods.csv", text.encode(), "text/csv")))


async def ended(office: Office) -> None:
    """The job's page once it is over."""
    address = office.page.url.path
    async with asyncio.timeout(30):
        while "data-over" not in office.page.text:
            await asyncio.sleep(0.01)
            await office.go(address)


def figures(office: Office) -> list[int]:
    """Rows read, made, changed, as they were, bad."""
    facts = office.page.text.partition('class="facts figures"')[2].partition("</dl>")[0]
    return [int(part.partition("<")[0]) for part in facts.split("<dd>")[1:]]


async def test_an_upload_leads_to_the_page_of_its_job_and_to_its_end(office: Office):
    await upload(office, TWO)
    assert office.page.url.path.startswith(f"{IMPORTS}/")
    await ended(office)
    assert "It is done." in office.text
    assert figures(office) == [2, 1, 1, 0, 0]
    await office.go("/admin/products?q=cup")
    assert "A cup" in office.text
    await office.go(IMPORTS)
    assert "Done" in office.text


async def test_a_bad_row_stops_all_or_is_left_out_as_was_chosen(office: Office):
    await upload(office, ONE_BAD)
    await ended(office)
    assert "It was not done." in office.text
    assert figures(office) == [3, 0, 0, 0, 1]
    await upload(office, ONE_BAD, mode="skip_bad")
    await ended(office)
    assert figures(office) == [3, 1, 1, 0, 1]
    assert "'x' is not an amount such as 19.99" in office.text
    bad = await office.go(f"{office.page.url.path}/errors.csv")
    assert bad.headers["content-type"] == "text/csv; charset=utf-8"
    assert bad.text.splitlines()[1].startswith("4,price,")


async def test_a_dry_run_says_what_would_be_and_changes_nothing(office: Office):
    await upload(office, TWO, dry_run="1")
    await ended(office)
    assert "nothing was changed" in office.text
    assert figures(office) == [2, 1, 1, 0, 0]
    await office.go("/admin/products?q=cup")
    assert "No product is like that." in office.text


async def test_a_page_without_scripts_renews_itself_until_the_job_is_over(office: Office):
    await office.front.shop.jobs.stop()
    await upload(office, TWO)
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in office.page.text
    part = await office.go(f"{office.page.url.path}?part=1")
    assert "<html" not in part.text, "what a script renews is the part that changes"
    assert "It waits for its turn." in office.text
    await office.front.shop.jobs.start()
    await office.go(part.url.path)
    await ended(office)
    assert "<noscript>" not in office.page.text


async def test_staff_import_counts_but_no_products(office: Office):
    async with another_office(office.front, "sam") as sam:
        await sam.go(IMPORTS)
        assert sam.fields(IMPORTS)["kind"] == "stock"
        await upload(sam, "sku,on_hand\nMUG,5\n", kind="stock")
        await ended(sam)
        assert figures(sam)[2] == 1
        await upload(sam, TWO, kind="products")
        assert sam.page.status_code == 422
        assert "needs the scope products:write" in sam.text
    async with another_office(office.front, "ada") as ada:
        assert (await ada.go(IMPORTS)).status_code == 403


async def test_a_form_without_a_file_says_so(office: Office):
    await office.go(IMPORTS)
    empty = ("file", ("", b"", "application/octet-stream"))
    await office.send(IMPORTS, file=empty, kind="nothing")
    assert office.page.status_code == 422
    assert "Choose a file." in office.text
    assert "Choose what the file holds." in office.text


async def test_a_double_click_makes_one_job(office: Office):
    await office.go(IMPORTS)
    data = office.fields(IMPORTS)
    file = {"file": ("goods.csv", TWO.encode(), "text/csv")}
    first, second = [await office.http.post(IMPORTS, data=data, files=file) for _ in range(2)]
    assert (first.status_code, first.headers["location"]) == (303, second.headers["location"])
    other = {"file": ("goods.csv", ONE_BAD.encode(), "text/csv")}
    office.page = await office.http.post(IMPORTS, data=data, files=other)
    assert office.page.status_code == 422
    assert "Choose the file once more." in office.text


async def test_what_is_exported_can_be_imported_again(office: Office):
    text = (await office.go("/admin/products/export.csv")).text
    assert len(text.splitlines()) == 4
    assert office.page.headers["content-disposition"] == 'attachment; filename="products.csv"'
    await upload(office, text)
    await ended(office)
    assert figures(office) == [3, 0, 0, 3, 0]


async def test_a_session_that_goes_on_with_a_download_is_not_lost(office: Office):
    """The download brings the new token; without it, the next page would ask to log in."""
    person = office.front.seed.people["sam"]
    async with another_office(office.front, "") as sam:
        sam.http.cookies.set("refresh", person.refresh_token)
        answer = await sam.go("/admin/products/export.csv")
        assert answer.status_code == 200
        assert {cookie.partition("=")[0] for cookie in answer.headers.get_list("set-cookie")} == {
            "access",
            "refresh",
        }


# -- files that are long, wrong, or not ours


class Sending:
    """An upload piece by piece, which knows how many were taken."""

    def __init__(self, fields: dict[str, str], pieces: int, *, is_whole: bool = True) -> None:
        self.taken = 0
        self._head = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        self._pieces = pieces
        self._is_whole = is_whole

    async def body(self) -> AsyncIterator[bytes]:
        yield self._head.encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        yield HEADER.encode()
        for number in range(self._pieces):
            self.taken += 1
            yield f"P{number:06},A product,1.00\n".encode()
        if self._is_whole:
            yield b"\r\n--b--\r\n"

    async def by(self, office: Office) -> httpx.Response:
        return await office.http.post(
            IMPORTS,
            content=self.body(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )


def uploads(office: Office, folder: Path) -> list[str]:
    return [path.name for path in (folder / "jobs").glob("*")]


async def test_a_form_of_another_site_is_refused_before_its_file_is_read(office, tmp_path):
    await office.go(IMPORTS)
    sending = Sending(office.fields(IMPORTS) | {"csrf": "made up"}, 1_000)
    answer = await sending.by(office)
    assert answer.status_code == 403
    assert sending.taken <= 1
    assert uploads(office, tmp_path) == []


async def test_a_file_that_is_too_long_is_left_where_the_limit_is(office, tmp_path):
    await office.go(IMPORTS)
    sending = Sending(office.fields(IMPORTS), 100_000)
    answer = await sending.by(office)
    assert answer.status_code == 422
    assert f"at most {MOST_BYTES} bytes" in answer.text
    assert sending.taken < 20_000
    assert uploads(office, tmp_path) == []


async def test_a_file_that_was_cut_off_makes_no_job(office, tmp_path):
    await office.go(IMPORTS)
    answer = await Sending(office.fields(IMPORTS), 10, is_whole=False).by(office)
    assert answer.status_code == 422
    assert uploads(office, tmp_path) == []
    await office.go(IMPORTS)
    assert "Nothing was imported yet." in office.text


async def test_a_form_of_too_much_text_or_of_another_kind_is_refused(office: Office):
    await office.go(IMPORTS)
    long = await Sending(office.fields(IMPORTS) | {"more": "x" * 1_000_001}, 1).by(office)
    assert long.status_code == 413
    plain = await office.http.post(IMPORTS, data=office.fields(IMPORTS))
    assert plain.status_code == 415
    broken = await office.http.post(
        IMPORTS, content=b"nonsense", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert broken.status_code == 400
