"""An HTTP subscriber confirms its subscription, gets the messages, and believes only real ones.

None of the local engines does all of it: ministack asks for confirmation and doesn't sign, moto
signs and doesn't ask. The whole is held against messages that a key of the test's own signs.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from storekeeper.notify.sns.client import SnsClient
from storekeeper.notify.sns.messages import order_message
from tests.support.local_engines import engine, use_local_credentials
from tests.support.sns import engine_at, order_event
from tests.support.sns_receiver import Forged, Receiver, a_receiver, signed_text, verify

PATIENCE_S = 30
ARN = "arn:aws:sns:eu-west-1:123456789012:orders"
# Amazon's hosts have the region in their names; the engines look for it here.
REGION = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20300101/eu-west-1/sns/aws4_request, "
    "SignedHeaders=host, Signature=00"
}
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_credentials(monkeypatch)


async def test_a_subscription_is_confirmed_and_messages_follow(receiver: Receiver) -> None:
    async with engine_at(engine("ministack").url) as aws:
        topic = await aws.topic()
        receiver.topic_arn = aws.arns[topic]
        receiver.confirm = lambda url: httpx.get(url, headers=REGION).raise_for_status()
        client = SnsClient(region="eu-west-1", endpoint=aws.url)
        await client.publish(topic, [order_message(order_event(1))])
        await aws.sns.subscribe(TopicArn=aws.arns[topic], Protocol="http", Endpoint=receiver.url)
        assert await asyncio.to_thread(receiver.is_confirmed.wait, PATIENCE_S)
        event = order_event(2)
        (outcome,) = await client.publish(topic, [order_message(event)])
        await client.close()
    assert outcome.delivered
    assert await asyncio.to_thread(receiver.has_news.wait, PATIENCE_S)
    # What was published before the confirmation isn't there: nobody was subscribed.
    assert list(receiver.messages) == [event.id]
    assert receiver.messages[event.id]["Subject"] == "Order N-2 placed: 19.99 GBP"


async def test_a_receiver_that_verifies_refuses_what_is_not_signed(receiver: Receiver) -> None:
    async with engine_at(engine("ministack").url) as aws:
        topic = await aws.topic()
        receiver.topic_arn = aws.arns[topic]
        receiver.verifying = lambda address: pytest.fail("nothing is to be fetched")
        answer = httpx.post(
            receiver.url,
            json={
                "Type": "SubscriptionConfirmation",
                "TopicArn": aws.arns[topic],
                "SignatureVersion": "1",
                "Signature": "FAKE",
                "SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem",
                "SubscribeURL": aws.url,
            },
        )
    assert answer.status_code == 403
    assert not receiver.is_confirmed.is_set()


async def test_what_an_engine_signs_is_verified_with_its_certificate(receiver: Receiver) -> None:
    event = order_event(1)
    async with engine_at(engine("moto").url) as aws:
        topic = await aws.topic()
        receiver.topic_arn = aws.arns[topic]
        await aws.sns.subscribe(TopicArn=aws.arns[topic], Protocol="http", Endpoint=receiver.url)
        client = SnsClient(region="eu-west-1", endpoint=aws.url)
        (outcome,) = await client.publish(topic, [order_message(event)])
        await client.close()

        def fetch(address: str) -> bytes:
            path = httpx.URL(address).path
            return httpx.get(f"{aws.url}{path}", headers=REGION).raise_for_status().content

        assert outcome.delivered
        # This engine leaves the subject out of what it signs.
        message = {**receiver.messages[event.id]}
        del message["Subject"]
        verify(message, aws.arns[topic], fetch)
        changed = {**message, "Message": message["Message"].replace("N-1", "N-2")}
        with pytest.raises(Forged):
            verify(changed, aws.arns[topic], fetch)


class Signer:
    """A key with a certificate, at the address where Amazon's would be."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, SHA256())
        )
        self.pem = certificate.public_bytes(Encoding.PEM)

    def signed(self, **fields: str) -> dict[str, Any]:
        message = order_message(order_event(1))
        said = {
            "Type": "Notification",
            "MessageId": "1",
            "TopicArn": ARN,
            "Subject": message.title,
            "Message": message.body,
            "Timestamp": "2030-01-01T09:00:00.000Z",
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE,
            **fields,
        }
        signature = self._key.sign(signed_text(said), PKCS1v15(), SHA256())
        return {**said, "Signature": base64.b64encode(signature).decode()}

    def fetch(self, address: str) -> bytes:
        assert address == CERTIFICATE
        return self.pem


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def test_a_signed_subscription_is_confirmed_and_a_signed_message_is_taken(
    receiver: Receiver, signer: Signer
) -> None:
    receiver.topic_arn, receiver.verifying = ARN, signer.fetch
    confirmed: list[str] = []
    receiver.confirm = confirmed.append
    asked = signer.signed(
        Type="SubscriptionConfirmation", Token="t", SubscribeURL="https://sns.example/?confirm"
    )
    assert httpx.post(receiver.url, json=asked).status_code == 200
    assert confirmed == ["https://sns.example/?confirm"]
    message = signer.signed()
    assert httpx.post(receiver.url, json=message).status_code == 200
    assert httpx.post(receiver.url, json=message).status_code == 200
    assert len(receiver.messages) == 1  # the same id is the same event


@pytest.mark.parametrize(
    "forge",
    [
        lambda message: {**message, "Message": message["Message"].replace("1999", "1")},
        lambda message: {**message, "Subject": "Order N-1 cancelled"},
        lambda message: {name: text for name, text in message.items() if name != "Subject"},
        lambda message: {**message, "Timestamp": "2031-01-01T09:00:00.000Z"},
        lambda message: {**message, "TopicArn": ARN.replace("orders", "others")},
        lambda message: {**message, "SigningCertURL": "https://sns.eu-west-1.example.com/a.pem"},
        lambda message: {**message, "SigningCertURL": CERTIFICATE.replace("https", "http")},
        lambda message: {**message, "SignatureVersion": "1"},
        lambda message: {**message, "Signature": "FAKE"},
        lambda message: {**message, "Type": "Other"},
    ],
)
def test_a_message_that_was_changed_on_the_way_is_refused(
    receiver: Receiver, signer: Signer, forge: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    receiver.topic_arn, receiver.verifying = ARN, signer.fetch
    assert httpx.post(receiver.url, json=forge(signer.signed())).status_code == 403
    assert receiver.messages == {}
