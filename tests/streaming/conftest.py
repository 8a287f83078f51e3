from __future__ import annotations

import pytest

from tests.support import local_engines


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    # An idle shop's state is written more seldom than a test waits.
    monkeypatch.setattr("storekeeper.store.sqlite.streaming.sender.STATE_S", 0.05)
    local_engines.use_local_credentials(monkeypatch)
