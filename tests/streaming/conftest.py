from __future__ import annotations

import pytest

from tests.support import local_engines


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    local_engines.use_local_credentials(monkeypatch)
