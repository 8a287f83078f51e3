"""A real browser: Debian's Chromium where it is, else the one that Playwright has fetched.

The one without windows of its own first: it takes a third less of the processor.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

from tests.support import local_engines

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
PATIENCE_MS = 15_000
LONGEST_REASON = 300


@contextmanager
def browser() -> Iterator[Browser]:
    """Skips where there is none, unless everything is required (as in CI)."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            # As root, which CI is, Chromium has no sandbox; it meets no page but ours.
            opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            local_engines.not_tested(
                "pages in a browser", f"No Chromium can be started ({reason}). Install chromium"
            )
        try:
            yield opened
        finally:
            opened.close()
