"""What the composition root needs of SNS: its channels, its topics made, its topics checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from storekeeper.config import Settings, SettingsError, region_of_topics
from storekeeper.notify.sns.channel import ORDERS, STOCK, SnsTopic
from storekeeper.notify.sns.client import SnsClient, TopicTrouble
from storekeeper.store.port import Store

log = structlog.get_logger(__name__)
_PURPOSES = {ORDERS: "order events", STOCK: "stock alerts"}


class SnsChannels:
    """The topics that the settings name, over one client."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._client = _client(settings)
        self.sinks: Sequence[SnsTopic] = [
            SnsTopic(name, topic, client=self._client, store=store)
            for name, topic in _topics(settings)
        ]

    async def close(self) -> None:
        for sink in self.sinks:
            await sink.close()
        await self._client.close()


def make_topics(settings: Settings) -> list[str]:
    """Makes the topics that are named and missing; a sentence for each thing that was done.

    Blocks. Raises `SettingsError` where a topic can't be had; one given by its ARN is never made.
    """
    return asyncio.run(_each(settings, _make))


def check_topics(settings: Settings) -> list[str]:
    """Looks for the topics once; blocks. Raises `SettingsError` that says what to change.

    SNS that can't be reached at the moment doesn't keep the shop closed: events wait.
    """
    return asyncio.run(_each(settings, _check))


async def _each(
    settings: Settings, work: Callable[[SnsClient, str, str], Awaitable[str]]
) -> list[str]:
    client = _client(settings)
    try:
        said = []
        for name, topic in _topics(settings):
            try:
                said.append(await work(client, name, topic))
            except TopicTrouble as error:
                field = name.replace("-", "_") + "_topic"
                raise SettingsError(f"{field} = {topic!r} can't be used: {error}") from error
        return [sentence for sentence in said if sentence]
    finally:
        await client.close()


async def _make(client: SnsClient, name: str, topic: str) -> str:
    try:
        await client.require(topic)
    except TopicTrouble as error:
        if not error.trouble.is_missing or topic.startswith("arn:"):
            raise
        arn = await client.make(topic)
        return f"made the topic {topic} for {_PURPOSES[name]}: {arn}"
    return ""


async def _check(client: SnsClient, name: str, topic: str) -> str:
    try:
        await client.require(topic)
    except TopicTrouble as error:
        if error.trouble.kind != "passing":
            raise
        log.warning("the topic can't be looked at now", sink=name, reason=error.trouble.text)
        return error.trouble.text
    return ""


def _topics(settings: Settings) -> list[tuple[str, str]]:
    named = ((ORDERS, settings.sns_orders_topic), (STOCK, settings.sns_stock_topic))
    return [(name, topic) for name, topic in named if topic]


def _client(settings: Settings) -> SnsClient:
    return SnsClient(
        region=region_of_topics(settings),
        endpoint=settings.aws_endpoint_url,
        profile=settings.aws_profile,
    )
