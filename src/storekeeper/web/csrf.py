"""Whether a form that comes back is one of ours, filled in by the visitor to whom it was shown."""

from __future__ import annotations

import functools
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


def is_from_elsewhere(headers: Mapping[bytes, bytes], public_url: str) -> bool:
    """Whether the browser says that another site made this request (Fetch metadata, Origin).

    Ours is what `public_url` says, and what the browser asked for: a gateway may have put another
    Host in its place.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    if origin is None or origin == b"null":
        return origin is not None
    text = origin.decode("latin-1")
    asked = headers.get(b"host", b"").decode("latin-1")
    return text != _origin_of(public_url) and text.partition("://")[2] != asked


@functools.cache
def _origin_of(url: str) -> str:
    """As browsers write it: in small letters, without the port that goes without saying."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{host}" + ("" if is_usual else f":{parts.port}")


def _signed(key: bytes, visitor: str, nonce: str) -> str:
    return hmac.new(key, f"{visitor}\n{nonce}".encode(), hashlib.sha256).hexdigest()
