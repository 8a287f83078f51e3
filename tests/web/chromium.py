"""A real browser: Debian's Chromium where it is, else the one that Playwright has fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

PATIENCE_MS = 15_000


@contextmanager
def browser() -> Iterator[Browser]:
    """Skips where there is none, unless everything is required (as in CI)."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        try:
            # As root, which CI is, Chromium has no sandbox; it meets no page but ours.
            opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            if os.environ.get("TEST_ENGINES") == "required":
                raise
            pytest.skip(f"NOT TESTED: pages in a browser, as no Chromium can be started: {error}")
        try:
            yield opened
        finally:
            opened.close()
