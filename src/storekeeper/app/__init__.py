"""The composition root: the one place that knows which adapters are in use."""

from storekeeper.app.clients import client_finder, rate_per_process
from storekeeper.app.clock import utc_now, uuid7_text
from storekeeper.app.copying import ShopCopied, copy_shop
from storekeeper.app.keys import signing_secrets
from storekeeper.app.outside import check_provider, check_topics, create_topics
from storekeeper.app.places import (
    Place,
    back_up,
    create_tables,
    open_place,
    pending_migrations,
    restore,
)
from storekeeper.app.shop import Shop, build_shop, open_shop
from storekeeper.app.streaming import backup_status, is_target, restore_from, stream_backup

__all__ = [
    "Place",
    "Shop",
    "ShopCopied",
    "back_up",
    "backup_status",
    "build_shop",
    "check_provider",
    "check_topics",
    "client_finder",
    "copy_shop",
    "create_tables",
    "create_topics",
    "is_target",
    "open_place",
    "open_shop",
    "pending_migrations",
    "rate_per_process",
    "restore",
    "restore_from",
    "signing_secrets",
    "stream_backup",
    "utc_now",
    "uuid7_text",
]
