"""The few pictures that the README shows, small enough for a repository."""

from __future__ import annotations

import io

from PIL import Image
from playwright.sync_api import Page, ViewportSize

from tools.engines.launch import ROOT
from tools.screenshots.scenes import Scene
from tools.screenshots.stage import Stage

PICTURES = ROOT / "docs" / "pictures"
SIZE = ViewportSize(width=1_200, height=760)
MOST_BYTES = 80_000


SHOWN = (
    Scene("shop", "guest", "/shop/products?q=heart"),
    Scene("order", "customer", "/shop/orders/{placed}"),
    Scene("today", "admin", "/admin"),
    Scene("sales", "admin", "/admin?by=week#figures"),
    Scene("orders", "admin", "/admin/orders"),
)


def take_pictures(stage: Stage) -> None:
    """Writes them to docs/pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for scene in SHOWN:
        page = stage.pages[scene.who]
        page.set_viewport_size(SIZE)
        save(stage.play(scene), scene.name)


def save(page: Page, name: str) -> None:
    """What the window shows. Raises `ValueError` for a picture that is too large."""
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    target = PICTURES / f"{name}.webp"
    picture.save(target, "WEBP", quality=82, method=6)
    if target.stat().st_size > MOST_BYTES:
        raise ValueError(f"{target.name} has {target.stat().st_size} bytes")
