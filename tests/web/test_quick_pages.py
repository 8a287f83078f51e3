"""What makes pages quick never shows a customer an old price, or a sentence in another language."""

from __future__ import annotations

import pytest

from storekeeper.web.languages import LANGUAGES, language
from storekeeper.web.templating import Cards, SpokenEnvironment
from tests.api.shopfront import Front
from tests.web.browser import Visitor
from tests.web.desk import text_of


async def list_of(visitor: Visitor, query: str = "") -> str:
    return text_of((await visitor.go(f"/shop/products{query}")).text)


async def test_a_card_shows_its_product_as_it_is_now(visitor: Visitor, front: Front):
    assert "The mug £9.99" in await list_of(visitor)
    (mug,) = (await front.http.get("/products?q=mug")).json()["items"]
    changed = await front.http.patch(
        f"/products/{mug['id']}",
        json={"name": "The cup", "price": {"amount": 1_250, "currency": "GBP"}},
        headers={**front.who("root"), "if-match": f'"{mug["version"]}"'},
    )
    assert changed.status_code == 200, changed.text
    for query in ("", "?in_stock=1"):
        page = await list_of(visitor, query)
        assert "The cup £12.50" in page
        assert "£9.99" not in page


async def test_a_card_tells_of_the_last_units_and_when_they_are_gone(
    visitor: Visitor, front: Front
):
    assert "The chair £79.00 1 left" in await list_of(visitor)
    await front.placed("ada", ("CHAIR", 1))
    assert "The chair £79.00 Back in stock soon" in await list_of(visitor)


async def test_a_new_category_can_be_chosen_at_once(visitor: Visitor, front: Front):
    assert "Hats" not in await list_of(visitor)
    made = await front.http.post(
        "/products",
        json={
            "sku": "HAT",
            "name": "The hat",
            "price": {"amount": 100, "currency": "GBP"},
            "category": "Hats",
        },
        headers=front.who("root"),
    )
    assert made.status_code == 201
    assert "Hats" in await list_of(visitor)


@pytest.mark.parametrize("code", LANGUAGES)
def test_texts_are_the_catalogues_and_what_is_typed_stays_escaped(code: str):
    environment = SpokenEnvironment(language(code))
    say = language(code).texts.gettext
    made = environment.from_string(
        "{{ _('Log in') }}|{{ _('“%(words)s”', words=words) }}|{% set x = _('yes') %}{{ x }}"
    ).render(words="<b>")
    assert made == f"{say('Log in')}|{say('“%(words)s”') % {'words': '&lt;b&gt;'}}|{say('yes')}"


async def test_no_more_cards_are_kept_than_there_is_room_for(
    front: Front, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("storekeeper.web.templating.MOST_CARDS", 2)
    cards = Cards(SpokenEnvironment(language("en")))
    (mug,) = (await front.shop.store.products_by_sku(["mug"])).values()
    listed = (await front.shop.store.listed([mug.id]))[mug.id]
    shown = {plenty: cards(listed, plenty) for plenty in range(5)}
    assert len(cards) == 2
    assert cards(listed, 0) == shown[0]
