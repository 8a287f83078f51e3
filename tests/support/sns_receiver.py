"""What an HTTP subscriber of a topic has to do: verify, confirm, and take each message once.

A pattern for integrators too. The signature is SNS's version 2 (Amazon SNS developer guide,
"Verifying the signatures of Amazon SNS messages"). That a certificate is Amazon's is known by its
address, which is asked over HTTPS and never taken from elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

ADDRESS = re.compile(
    r"https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-f]+\.pem"
)
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
Fetch = Callable[[str], bytes]


class Forged(Exception):
    """Not from the topic, or changed on the way."""


def signed_text(message: dict[str, Any]) -> bytes:
    """What the signature is over: names and values, a line each; a subject only where there is."""
    names = _SIGNED.get(message.get("Type", ""), ())
    return "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()


def verify(message: dict[str, Any], topic_arn: str, fetch: Fetch) -> None:
    """Raises `Forged` unless SNS signed it for the topic; `fetch(url)` answers a certificate."""
    if message.get("Type") not in _SIGNED or message.get("TopicArn") != topic_arn:
        raise Forged("another topic, or no kind of message")
    address = message.get("SigningCertURL", "")
    if message.get("SignatureVersion") != "2" or not ADDRESS.fullmatch(address):
        raise Forged("no signature of version 2, or a certificate from elsewhere")
    key = load_pem_x509_certificate(fetch(address)).public_key()
    if not isinstance(key, RSAPublicKey):
        raise Forged("no RSA key")
    try:
        signature = base64.b64decode(message.get("Signature", ""), validate=True)
        key.verify(signature, signed_text(message), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise Forged("the signature is of something else") from None


class Receiver:
    """An endpoint for one topic. `verifying` None: for an engine that doesn't sign."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.topic_arn = ""
        self.verifying: Fetch | None = None
        self.confirm: Callable[[str], object] = lambda url: httpx.get(url).raise_for_status()
        self.messages: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self.has_news = threading.Event()
        self.is_confirmed = threading.Event()

    def take(self, body: bytes) -> int:
        """Answers the status: 403 for what isn't the topic's."""
        message = json.loads(body)
        try:
            if self.verifying is not None:
                verify(message, self.topic_arn, self.verifying)
            elif message.get("TopicArn") != self.topic_arn:
                raise Forged("another topic")
        except Forged as error:
            self.refused.append(str(error))
            return 403
        if message["Type"] == "SubscriptionConfirmation":
            self.confirm(message["SubscribeURL"])
            self.is_confirmed.set()
        else:
            self.messages[json.loads(message["Message"])["id"]] = message
            self.has_news.set()
        return 200


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/sns")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
