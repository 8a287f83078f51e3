"""A customer reads every sentence in one language, never half of them in another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from storekeeper.web.languages import LANGUAGES, choose
from tests.web.browser import Visitor

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "src/storekeeper/web/locale"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "say": None, "mark": None}
PLACE = re.compile(r"%\(\w+\)s")


def of_the_pages() -> set[object]:
    with (ROOT / "babel.cfg").open() as lines:
        methods, options = parse_mapping_cfg(lines)
    found = extract_from_dir(ROOT, methods, options, keywords=KEYWORDS)
    return {text for _, _, text, _, _ in found}


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_every_text_is_translated_with_the_same_blanks(code: str):
    with (TEXTS / f"{code}.po").open("rb") as lines:
        catalog = read_po(lines)
    kept = {message.id: message for message in catalog if message.id}
    wanted = of_the_pages()
    assert len(wanted) > 100
    assert wanted - set(kept) == set(), "missing"
    assert set(kept) - wanted == set(), "said nowhere any more"
    for id, message in kept.items():
        assert not message.fuzzy, id
        said = [message.string] if isinstance(message.string, str) else list(message.string or ())
        asked = [id] if isinstance(id, str) else list(id)
        assert all(said), id
        assert {place for text in said for place in PLACE.findall(text)} == {
            place for text in asked for place in PLACE.findall(text)
        }, id


@pytest.mark.parametrize(
    ("wanted", "accepted", "code"),
    [
        ("de", "en", "de"),
        ("", "de-CH,en;q=0.8", "de"),
        ("", "en;q=0.3,de;q=0.9", "de"),
        ("", "fr,*;q=0.1", "en"),
        ("", "de;q=many,en", "en"),
        ("xx", "", "en"),
        ("", "," * 10_000, "en"),
    ],
)
def test_the_language_that_was_chosen_then_the_browsers(wanted: str, accepted: str, code: str):
    assert choose(wanted, accepted).code == code


async def test_staff_choose_their_language_where_they_work(visitor: Visitor):
    await visitor.log_in("root")
    await visitor.go("/admin/products")
    await visitor.send("/shop/language", language="de")
    assert visitor.page.url.path == "/admin/products"
    assert "Artikel" in visitor.text
