"""What goes wrong with SNS is told in words that say what to change, and tried again if it helps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storekeeper.config import Settings, SettingsError
from storekeeper.notify.port import Outcome
from storekeeper.notify.sns import opening
from storekeeper.notify.sns.client import SnsClient
from storekeeper.notify.sns.messages import order_message
from tests.support.local_engines import engine, use_local_credentials
from tests.support.sns import engine_at, order_event
from tests.support.way import Way, a_way_to, refusal

TOPIC = "arn:aws:sns:eu-west-1:000000000000:orders"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_local_credentials(monkeypatch)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    async with a_way_to(engine("ministack").url) as found:
        yield found


async def published(client: SnsClient, topic: str = TOPIC) -> Outcome:
    (outcome,) = await client.publish(topic, [order_message(order_event(1))])
    return outcome


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AuthorizationError", "the permissions that docs/sns.md lists"),
        (403, "AccessDenied", "the permissions that docs/sns.md lists"),
        (404, "NotFound", "there is no topic"),
        (429, "Throttled", "asks for fewer messages"),
        (400, "ThrottlingException", "asks for fewer messages"),
        (403, "ExpiredToken", "have run out"),
        (403, "InvalidClientTokenId", "doesn't know these credentials"),
        (403, "SignatureDoesNotMatch", "and the machine's clock"),
        (400, "KMSAccessDenied", "kms:GenerateDataKey"),
        (400, "KMSThrottling", "asks for fewer messages"),
        (400, "InvalidParameter", "SNS refuses it"),
        (500, "InternalError", "SNS failed: InternalError"),
        (503, "ServiceUnavailable", "SNS failed: ServiceUnavailable"),
    ],
)
async def test_a_refused_call_says_what_to_change_and_is_tried_again(
    way: Way, status: int, code: str, words: str
) -> None:
    """None of these is the message's fault: taken for final, it would be lost."""
    way.before = lambda params: (status, refusal(code, "because"))
    client = SnsClient(region="eu-west-1", endpoint=way.url)
    outcome = await published(client)
    await client.close()
    assert words in outcome.error
    assert outcome.status_code == status
    assert not outcome.delivered
    assert not outcome.is_final


async def test_a_message_too_large_for_the_topic_is_given_up(way: Way) -> None:
    way.before = lambda params: (400, refusal("BatchRequestTooLong", "too long"))
    client = SnsClient(region="eu-west-1", endpoint=way.url)
    outcome = await published(client)
    await client.close()
    assert outcome.is_final
    assert "too large for the topic" in outcome.error


async def test_sns_that_nobody_reaches_is_tried_again(way: Way) -> None:
    client = SnsClient(region="eu-west-1", endpoint=way.url)
    await way.close()
    outcome = await published(client)
    await client.close()
    assert "SNS can't be reached" in outcome.error
    assert not outcome.is_final


async def test_sns_that_does_not_answer_stops_neither_the_shop_nor_the_try(way: Way) -> None:
    """The event loop takes orders meanwhile: here it plays the silent side as well."""
    client = SnsClient(region="eu-west-1", endpoint=way.url, timeout=30.0)
    # What opening the client takes is none of SNS's time.
    await published(client)
    way.calls.clear()
    way.is_silent = True
    client._timeout = 1.0
    outcome = await published(client)
    await client.close()
    assert len(way.calls) == 1
    assert outcome.error == "SNS didn't answer in time"
    assert not outcome.is_final


async def test_credentials_that_were_renewed_in_their_file_are_taken_without_a_restart(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = secret\n"
    file.write_text(text.format("OLD"))
    async with engine_at(engine("ministack").url) as aws:
        topic = await aws.topic()
        client = SnsClient(region="eu-west-1", endpoint=way.url)
        way.before = lambda params: (
            (403, refusal("ExpiredToken")) if "OLD" in way.headers[-1]["authorization"] else None
        )
        assert "have run out" in (await published(client, aws.arns[topic])).error
        file.write_text(text.format("NEW"))
        assert (await published(client, aws.arns[topic])).delivered
        await client.close()


async def looked_for(**settings: str) -> str:
    """What the start of a server says of the topics; empty for nothing."""
    try:
        said = await asyncio.to_thread(opening.check_topics, Settings(**settings))  # type: ignore[arg-type]
    except SettingsError as error:
        return str(error)
    assert all("SNS" in sentence for sentence in said)
    return ""


@pytest.mark.parametrize("topic", ["missing", "missing.fifo", TOPIC.replace("orders", "missing")])
async def test_a_topic_that_is_not_there_is_told_at_the_start(way: Way, topic: str) -> None:
    said = await looked_for(sns_stock_topic=topic, aws_endpoint_url=way.url, aws_region="eu-west-1")
    assert said.startswith(f"sns_stock_topic = {topic!r} can't be used: there is no topic {topic}")
    assert "run `storekeeper init`" in said


async def test_a_topic_of_another_region_is_told_at_the_start(way: Way) -> None:
    async with engine_at(engine("ministack").url) as aws:
        topic = await aws.topic()
    here = {"sns_orders_topic": topic, "aws_endpoint_url": way.url}
    assert await looked_for(**here, aws_region="eu-west-1") == ""
    said = await looked_for(**here, aws_region="us-east-1")
    assert f"there is no topic {topic} in us-east-1 for this account" in said


@pytest.mark.parametrize("code", ["AuthorizationError", "ExpiredToken", "InvalidClientTokenId"])
async def test_rights_and_credentials_are_told_at_the_start(way: Way, code: str) -> None:
    way.before = lambda params: (403, refusal(code))
    said = await looked_for(
        sns_orders_topic=TOPIC, aws_endpoint_url=way.url, aws_region="eu-west-1"
    )
    assert said.startswith(f"sns_orders_topic = '{TOPIC}' can't be used: ")


async def test_a_machine_without_credentials_is_told_at_the_start(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    said = await looked_for(sns_orders_topic="orders", aws_endpoint_url=way.url)
    assert "no AWS credentials are found" in said
    said = await looked_for(
        sns_orders_topic="orders", aws_endpoint_url=way.url, aws_profile="nobody"
    )
    assert "The config profile (nobody) could not be found; check STOREKEEPER_AWS_PROFILE" in said
    assert "no AWS credentials" not in said


async def test_a_machine_without_a_region_is_told_at_the_start(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    said = await looked_for(sns_orders_topic="orders", aws_endpoint_url=way.url)
    assert "no AWS region is set" in said
    # An ARN says it by itself.
    said = await looked_for(sns_orders_topic=TOPIC, aws_endpoint_url=way.url)
    assert f"there is no topic {TOPIC} for this account" in said


async def test_sns_that_is_away_keeps_no_shop_closed(way: Way) -> None:
    """The events wait; customers shouldn't."""
    await way.close()
    assert (
        await looked_for(
            sns_orders_topic="orders", aws_endpoint_url=way.url, aws_region="eu-west-1"
        )
        == ""
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sns_orders_topic": "two words"}, "sns_orders_topic = 'two words' can't be used"),
        ({"sns_orders_topic": "orders.fifo.fifo"}, "give a topic's name"),
        ({"sns_orders_topic": "x" * 257}, "give a topic's name"),
        ({"sns_orders_topic": "x" * 256 + ".fifo"}, "give a topic's name"),
        ({"sns_stock_topic": "arn:aws:sqs:eu-west-1:000000000000:stock"}, "or its ARN"),
        (
            {"sns_orders_topic": TOPIC, "aws_region": "us-east-1"},
            "sns_orders_topic is in eu-west-1, but aws_region says us-east-1",
        ),
        (
            {"sns_orders_topic": TOPIC, "sns_stock_topic": TOPIC.replace("eu-", "us-")},
            "sns_stock_topic is in us-west-1, but sns_orders_topic says eu-west-1",
        ),
        ({"aws_endpoint_url": "127.0.0.1:4566"}, "aws_endpoint_url = '127.0.0.1:4566'"),
    ],
)
def test_settings_that_can_not_work_are_refused_by_name(
    settings: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings(**settings)  # type: ignore[arg-type]
    assert words in str(refused.value)
