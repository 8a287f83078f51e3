"""Settings: read once at start from flags, environment and file; passed down, never looked up."""

from storekeeper.config.checks import (
    SHORTEST_SECRET,
    TABLE_PREFIX,
    SettingsError,
    is_address,
    region_of_topics,
)
from storekeeper.config.reading import PREFIX, SOURCES, load, shown
from storekeeper.config.settings import Settings

__all__ = [
    "PREFIX",
    "SHORTEST_SECRET",
    "SOURCES",
    "TABLE_PREFIX",
    "Settings",
    "SettingsError",
    "is_address",
    "load",
    "region_of_topics",
    "shown",
]
