"""`python -m deploy.single.grafana > storekeeper.json`: the dashboard, as it is to be committed."""

from __future__ import annotations

import sys

from deploy.single.grafana.dashboard import text

if __name__ == "__main__":
    sys.stdout.write(text())
