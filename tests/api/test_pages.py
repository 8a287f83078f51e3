"""The pages about the API: whole, readable without scripts, and asking nobody else for anything."""

from __future__ import annotations

import re

import pytest

from storekeeper.domain.errors import catalogue
from tests.api.shopfront import Front

PAGES = ["/docs", "/docs/errors"]


@pytest.mark.parametrize("address", PAGES)
async def test_a_page_is_html_that_needs_no_script_and_no_other_server(front: Front, address: str):
    answer = await front.http.get(address, headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    for target in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert target.startswith(("/", "#")), f"{target} is somewhere else"
        assert not target.startswith("//")


@pytest.mark.parametrize("address", PAGES)
async def test_a_page_can_be_read_by_everybody(front: Front, address: str):
    text = (await front.http.get(address, headers={"Accept": "text/html"})).text
    assert '<html lang="en">' in text
    assert 'class="skip" href="#content"' in text
    assert '<main id="content"' in text
    assert len(re.findall(r"<h1", text)) == 1
    assert 'name="viewport"' in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert anchor in ids, f"#{anchor} leads nowhere"


async def test_the_reference_shows_every_operation_and_type(front: Front):
    text = (await front.http.get("/docs")).text
    document = front.contract.document
    for path, item in document["paths"].items():
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in text
            assert f"<code>{path}</code>" in text
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in text


async def test_every_error_has_its_place_where_problems_point(front: Front):
    text = (await front.http.get("/docs/errors")).text
    for kind in catalogue():
        assert f'id="{kind.code}"' in text
        assert kind.remedy != "Do what `detail` says.", f"{kind.code} doesn't say what to do"
    problem = (await front.http.get("/orders")).json()
    page, anchor = problem["type"].split("#")
    assert f'id="{anchor}"' in (await front.http.get(page)).text


async def test_the_style_sheet_is_ours(front: Front):
    answer = await front.http.get("/docs/style.css")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "prefers-color-scheme: dark" in answer.text
    assert "url(" not in answer.text


async def test_programs_get_links_at_the_root(front: Front):
    links = (await front.http.get("/")).json()
    for name in ("docs", "openapi", "errors", "health", "shop"):
        assert (await front.http.get(links[name])).status_code == 200


async def test_people_are_led_to_the_shop(front: Front):
    answer = await front.http.get("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/shop")


async def test_answers_that_know_the_caller_stay_out_of_caches(front: Front):
    answer = await front.http.get("/orders", headers=front.who("ada"))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "strict-transport-security" not in answer.headers
