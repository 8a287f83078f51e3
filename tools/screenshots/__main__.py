"""`make screenshots`: pictures of every page of a demo shop, light, dark and on a phone."""

from __future__ import annotations

import argparse
import html
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from rich.progress import track

from tools.engines.launch import ROOT, ended_after
from tools.screenshots.pictures import take_pictures
from tools.screenshots.scenes import Scene, tour
from tools.screenshots.stage import Stage, stage_at

TARGET = ROOT / "build" / "screenshots"
# What is below is seldom worth the room: rows like those above.
MOST_HEIGHT = 3_200


class Look(NamedTuple):
    """A way to look at a page."""

    name: str
    size: ViewportSize
    scheme: Any


LOOKS = (
    Look("light", ViewportSize(width=1_280, height=900), "light"),
    Look("dark", ViewportSize(width=1_280, height=900), "dark"),
    Look("phone", ViewportSize(width=360, height=740), "light"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.screenshots", description=__doc__)
    parser.add_argument("only", nargs="*", help="scenes whose names hold one of these words; all")
    parser.add_argument("--target", type=Path, default=TARGET, help="the folder for the pictures")
    parser.add_argument(
        "--pictures", action="store_true", help="make the pictures of the README instead"
    )
    options = parser.parse_args()
    # Fails before anything is started where a page has no address.
    scenes = [
        scene
        for scene in tour()
        if not options.only or any(word in scene.name for word in options.only)
    ]
    with demo_shop() as (url, passwords), chromium() as browser:
        if options.pictures:
            with stage_at(browser, url, passwords) as stage:
                take_pictures(stage)
            return 0
        with stage_at(browser, url, passwords, reduced_motion="reduce") as stage:
            options.target.mkdir(parents=True, exist_ok=True)
            for scene in track(scenes, "Taking pictures"):
                photograph(stage, scene, options.target)
    index = options.target / "index.html"
    index.write_text(contact_sheet(scenes))
    print(f"{len(scenes)} scenes, {len(LOOKS)} pictures of each: {index}")
    return 0


def photograph(stage: Stage, scene: Scene, target: Path) -> None:
    page = stage.pages[scene.who]
    size = None
    for look in LOOKS:
        set_look(page, look)
        if look.size != size:
            # A page may look at how much room there is when it is opened.
            stage.play(scene)
        size = look.size
        height = page.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": look.size["width"], "height": min(height, MOST_HEIGHT)}
        page.screenshot(
            path=target / f"{scene.name}.{look.name}.png",
            full_page=True,
            clip=clip,  # type: ignore[arg-type]
            animations="disabled",
        )


def set_look(page: Page, look: Look) -> None:
    page.set_viewport_size(look.size)
    page.emulate_media(color_scheme=look.scheme)


def contact_sheet(scenes: Sequence[Scene]) -> str:
    """All pictures on one page, small, each leading to the whole."""
    figures = "".join(
        f"<h2>{html.escape(scene.name)} <small>{html.escape(scene.address)}</small></h2><p>"
        + "".join(
            f'<a href="{name}"><img src="{name}" alt="{look.name}" width="{width}" loading="lazy"></a> '
            for look in LOOKS
            for name, width in [(f"{scene.name}.{look.name}.png", look.size["width"] // 3)]
        )
        + "</p>"
        for scene in scenes
    )
    style = "body { font: 1rem sans-serif } img { vertical-align: top; border: 1px solid #999 }"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Every page</title>'
        f"<style>{style}</style><h1>Every page</h1>{figures}</html>\n"
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium where there is one, else the one that Playwright has fetched."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        # As root, which CI is, Chromium has no sandbox; it meets no page but ours.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def demo_shop() -> Iterator[tuple[str, Mapping[str, str]]]:
    """A demo shop in a folder that goes with it: its address, and passwords by e-mail address."""
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "storekeeper", "serve", "--demo", "--port", "0"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with ended_after(process):
            assert process.stdout is not None
            output = ""
            for line in process.stdout:
                output += line
                if "Ctrl-C" in line:
                    break
            else:
                raise RuntimeError(f"the demo shop didn't open: {output}")
            yield read_opening(output)


def read_opening(output: str) -> tuple[str, Mapping[str, str]]:
    """What a demo shop has printed when it opened."""
    url = re.search(r"(http://\S+)/shop", output)
    assert url is not None, output
    return url[1], dict(re.findall(r"(\S+@example\.com) +(\w+)", output))


if __name__ == "__main__":
    sys.exit(main())
