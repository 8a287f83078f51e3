"""The service that streams the backup stands at the right place; test_single.py judges it with the
others."""

from __future__ import annotations

from tests.support.processes import ROOT

UNIT = ROOT / "deploy/single/storekeeper-backup.service"


def test_it_starts_before_the_shop_so_that_it_ends_after_it() -> None:
    lines = UNIT.read_text().splitlines()
    assert "Before=storekeeper.service" in lines
    # A restore ends it, and nobody starts it by hand.
    assert "Restart=always" in lines
