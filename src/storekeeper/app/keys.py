"""The secrets that sign tokens: from the settings, or made and kept beside the shop."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from storekeeper.config import SHORTEST_SECRET, Settings, SettingsError
from storekeeper.store.sqlite.connect import told_clearly


def _make_secret(path: Path) -> None:
    draft = path.with_name(f".secret.key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def signing_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The keys that sign tokens and links, newest first.

    Without a setting, one is made beside the database, readable by its owner only; several
    processes that start together end up with the same one.
    """
    if settings.secret_key:
        return tuple(key.encode() for key in (settings.secret_key, *settings.old_secret_keys))
    path = settings.data_dir / "secret.key"
    if not path.exists():
        with told_clearly(path):
            _make_secret(path)
    kept = path.read_bytes().strip()
    if len(kept) < SHORTEST_SECRET:
        raise SettingsError(
            f"{path} needs at least {SHORTEST_SECRET} characters and holds {len(kept)}; put the "
            "kept copy in its place, or remove it and another key is made"
        )
    return (kept, *(key.encode() for key in settings.old_secret_keys))
