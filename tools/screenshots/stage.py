"""A browser for each kind of person at one shop, in which scenes are played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from playwright.sync_api import Browser, Page

from tools.screenshots import acts
from tools.screenshots.props import Api, make_props
from tools.screenshots.scenes import Scene, Who

PATIENCE_MS = 15_000


class Stage:
    """`pages`: the page of each person. `props`: what scenes' addresses name."""

    def __init__(self, pages: Mapping[Who, Page], props: Mapping[str, str]) -> None:
        self.pages = pages
        self.props = props

    def play(self, scene: Scene) -> Page:
        page = self.pages[scene.who]
        scene.play(page, self.props)
        return page


@contextmanager
def stage_at(
    browser: Browser, url: str, passwords: Mapping[str, str], **how: Any
) -> Iterator[Stage]:
    """At a demo shop, with the passwords that it printed by e-mail address. `how`: of the contexts."""
    people: dict[Who, str] = {"customer": "customer@example.com", "admin": "admin@example.com"}
    contexts = {who: browser.new_context(base_url=url, **how) for who in get_args(Who)}
    for context in contexts.values():
        context.set_default_timeout(PATIENCE_MS)
    try:
        pages = {who: context.new_page() for who, context in contexts.items()}
        apis = [Api(url, people[who], passwords[people[who]]) for who in ("admin", "customer")]
        try:
            props = dict(make_props(*apis))
        finally:
            for api in apis:
                api.close()
        for who, email in people.items():
            acts.log_in(pages[who], email, passwords[email])
        props["take"] = acts.start_take(pages["admin"])
        pages["customer"].goto(f"/shop/products/{props['sku']}")
        acts.put_into_cart(pages["customer"])
        yield Stage(pages, props)
    finally:
        for context in contexts.values():
            context.close()
