"""Every page, as the application's routes name them, in a real Chromium: nobody is shut out, nothing
jumps, nothing is wider than a phone, and nothing weighs more than it may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, CDPSession, Page

from tests.cli.terminal import Terminal
from tests.web.browsing import DESK, PHONE, faults_of, watch
from tools.screenshots.__main__ import read_opening
from tools.screenshots.scenes import Scene, tour
from tools.screenshots.stage import Stage, stage_at

MOST_BYTES = 100_000
# Less than what one line of text that jumps by its height would make; 0.1 is called good.
MOST_SHIFT = 0.001
ROWS = 10_000
WORDS = "as much as a shop has to say about a thing that it sells " * 8
# Of all else that was looked at nothing is told, which is most of the work.
ALL = {"resultTypes": ["violations"]}
COLOURS = {"runOnly": ["color-contrast"], **ALL}
SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def stage(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    terminal = Terminal(tmp_path_factory.mktemp("every-page"))
    with terminal.serving("--demo") as served:
        url, passwords = read_opening(served.output)
        with stage_at(chromium, url, passwords, viewport=DESK, reduced_motion="reduce") as stage:
            for page in stage.pages.values():
                watch(page, url)
                page.add_init_script(SHIFTS)
            yield stage


@contextmanager
def weighed(page: Page) -> Iterator[dict[str, float]]:
    """What comes over the wire for each address, nothing of it from a cache."""
    session: CDPSession = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}

    def note(event: dict[str, Any]) -> None:
        names[event["requestId"]] = event["response"]["url"]

    def add(event: dict[str, Any]) -> None:
        name = names.get(event["requestId"], "")
        sizes[name] = sizes.get(name, 0) + event["encodedDataLength"]

    session.on("Network.responseReceived", note)
    session.on("Network.loadingFinished", add)
    try:
        yield sizes
    finally:
        session.detach()


@pytest.mark.parametrize("scene", tour(), ids=lambda scene: scene.name)
def test_a_page_is_for_everybody(stage: Stage, scene: Scene) -> None:
    """WCAG 2.2 AA as far as axe can tell, in both schemes; no shift; a phone's width; its weight."""
    page = stage.pages[scene.who]
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="light")
    page.goto("about:blank")
    with weighed(page) as sizes:
        stage.play(scene)
    at_desk = {
        "light": violations(page, ALL),
        "shift": page.evaluate("window.shifts") > MOST_SHIFT,
        "weight": scene.act is None and sum(sizes.values()) > MOST_BYTES and sizes,
    }
    page.emulate_media(color_scheme="dark")
    at_desk["dark"] = violations(page, COLOURS)
    page.set_viewport_size(PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert at_desk == {"light": [], "shift": False, "weight": False, "dark": []}
    assert width <= PHONE["width"]
    assert faults_of(page) == []


def test_nothing_moves_on_a_slow_machine_either(stage: Stage) -> None:
    """Rows that come in one by one would push columns about under the reader's finger."""
    scene = next(one for one in tour() if one.name == "admin-orders-picking")
    page = stage.pages[scene.who]
    page.set_viewport_size(DESK)
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 8})
    try:
        stage.play(scene)
        assert page.evaluate("window.shifts") <= MOST_SHIFT
    finally:
        session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        session.detach()


def violations(page: Page, options: dict[str, Any]) -> list[tuple[str, str]]:
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


def test_the_bar_of_an_import_moves_until_all_is_in(stage: Stage) -> None:
    lines = (f"IMP-{number},Imported {number},1.50,Home,{WORDS}" for number in range(ROWS))
    page = stage.pages["admin"]
    page.set_viewport_size(DESK)
    page.goto("/admin/products/imports")
    page.get_by_label("CSV file").set_input_files(
        {
            "name": "goods.csv",
            "mimeType": "text/csv",
            "buffer": "\n".join(("sku,name,price,category,description", *lines)).encode(),
        }
    )
    page.locator("main").get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(re.compile(r"/imports/[^/]+$"))
    # What a reader sees, each time that it changes.
    seen = page.evaluate("""() => new Promise((done) => {
      const place = document.getElementById("progress");
      const seen = [];
      const look = () => {
        const bar = document.getElementById("bar");
        if (!bar) return done(seen);
        if (bar.value !== seen.at(-1)) seen.push(bar.value);
      };
      new MutationObserver(look).observe(place, { childList: true, subtree: true });
      look();
    })""")
    assert seen == sorted(seen)
    assert len(set(seen) - {0}) >= 2, seen
    assert page.get_by_text("It is done.").first.is_visible()
    assert "10,000" in page.locator(".figures").inner_text()
    assert faults_of(page) == []
