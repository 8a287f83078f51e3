"""Packages that only some settings need, and how they are had."""

from __future__ import annotations

import shlex
import sys

from storekeeper.config.checks import SettingsError

# As pyproject.toml has them. Named one by one, as Storekeeper itself isn't at any package index, and
# is left as it was installed.
EXTRAS = {
    "aws": ("aiobotocore>=3.10,<4", "cryptography>=46"),
    "valkey": ("valkey[libvalkey]>=6.2,<7",),
}


def more_packages(need: str, error: ModuleNotFoundError, *, extra: str) -> SettingsError:
    """What to do where a package is missing. `need`: what needs it, with its verb."""
    command = shlex.join([sys.executable, "-m", "pip", "install", *EXTRAS[extra]])
    return SettingsError(f"{need} more packages ({error.name} is missing); install them: {command}")
