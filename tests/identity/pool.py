"""A user pool of our own: RSA keys, their document on the loopback, and tokens as Cognito writes
them, or as somebody would who isn't it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from storekeeper.identity.cognito import issuer_of

POOL = "eu-west-1_TestPool1"
CLIENT = "4webclient5"
GROUPS = ("admins=admin", "clerks=staff")


def private_key(name: str, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """The key of that name; making one takes long, so each is made once."""
    return _made(name, bits)


@lru_cache
def _made(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def public_pem(name: str) -> bytes:
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def member(name: str, bits: int = 2_048, **fields: Any) -> dict[str, Any]:
    """A key as it stands in the pool's document, under its name."""
    made = jwt.algorithms.RSAAlgorithm.to_jwk(private_key(name, bits).public_key(), as_dict=True)
    return {**made, "kid": name, "alg": "RS256", "use": "sig", **fields}


class Pool:
    """`answer` is what the document's address says now; `asked` counts how often it was asked."""

    def __init__(self, clock: Callable[[], datetime], url: str) -> None:
        self._clock = clock
        self.url = url
        self.issuer = issuer_of(POOL)
        self.asked = 0
        self.status = 200
        self.body = b""
        self.signs_with("first", "second")

    def signs_with(self, *names: str) -> None:
        """These keys, and no others, are in the document from now on."""
        self.status = 200
        self.body = msgspec.json.encode({"keys": [member(name) for name in names]})

    def is_down(self, status: int = 503) -> None:
        self.status, self.body = status, b"not now"

    def claims(self, who: str = "ada", /, *groups: str, **claims: Any) -> dict[str, Any]:
        """An access token's, for somebody who logged in a minute ago; None leaves one out."""
        now = int(self._clock().timestamp())
        said = {
            "sub": f"subject-of-{who}",
            "iss": self.issuer,
            "token_use": "access",
            "client_id": CLIENT,
            "scope": "aws.cognito.signin.user.admin",
            "username": who,
            "auth_time": now - 60,
            "iat": now - 60,
            "exp": now + 3_600,
            "jti": "one of a kind",
            "origin_jti": f"a log-in of {who}",
            **({"cognito:groups": list(groups)} if groups else {}),
            **claims,
        }
        return {name: value for name, value in said.items() if value is not None}

    def token(
        self,
        who: str = "ada",
        /,
        *groups: str,
        key: str = "first",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        return jwt.encode(
            self.claims(who, *groups, **claims),
            private_key(key),
            "RS256",
            headers={"kid": key, **(headers or {})},
        )

    def id_token(self, who: str = "ada", /, **claims: Any) -> str:
        said = {
            "token_use": "id",
            "aud": CLIENT,
            "client_id": None,
            "username": None,
            "cognito:username": who,
            "email": f"{who}@example.com",
            "email_verified": True,
            "name": who.title(),
        }
        return self.token(who, **{**said, **claims})


@contextmanager
def pool_at(clock: Callable[[], datetime]) -> Iterator[Pool]:
    """The pool's document on a port of the loopback, for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pool.asked += 1
            self.send_response(pool.status)
            self.send_header("Content-Length", str(len(pool.body)))
            self.end_headers()
            self.wfile.write(pool.body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pool = Pool(clock, f"http://127.0.0.1:{server.server_port}/{POOL}/.well-known/jwks.json")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield pool
        finally:
            server.shutdown()
            thread.join()
