"""Whether a form that comes back is one of ours, filled in by the visitor to whom it was shown."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

FIELD = "csrf"
_NONCE = 16


class FormTokens:
    """Tokens of forms: signed with the visitor's cookie, which no other site can read or set.

    Each is new, so that a compressed page gives nothing away by its length.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [hashlib.sha256(b"form-token\n" + key).digest() for key in keys]

    def new(self, visitor: str) -> str:
        nonce = secrets.token_hex(_NONCE)
        return nonce + _signed(self._keys[0], visitor, nonce)

    def is_ours(self, token: str, visitor: str) -> bool:
        nonce, signature = token[: 2 * _NONCE], token[2 * _NONCE :]
        return bool(visitor) and any(
            hmac.compare_digest(_signed(key, visitor, nonce).encode(), signature.encode())
            for key in self._keys
        )


def is_from_elsewhere(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the browser says that another site made this request (Fetch metadata, Origin)."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    if origin is None or origin == b"null":
        return origin is not None
    return urlsplit(origin.decode("latin-1")).netloc != headers.get(b"host", b"").decode("latin-1")


def _signed(key: bytes, visitor: str, nonce: str) -> str:
    return hmac.new(key, f"{visitor}\n{nonce}".encode(), hashlib.sha256).hexdigest()
