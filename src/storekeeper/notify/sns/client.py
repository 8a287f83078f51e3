"""One client of SNS per process: opened at its first use, looked for anew when credentials end.

It publishes, finds and makes topics; what went wrong comes back as an outcome or a `Trouble`. No
type of AWS leaves this package.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from storekeeper.aws import open_session
from storekeeper.notify.port import DELIVERED, Outcome
from storekeeper.notify.sns.messages import Message
from storekeeper.notify.sns.troubles import (
    FAILURES,
    TOO_LONG,
    Trouble,
    code_of,
    told,
    told_of_entry,
    too_large,
)

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sns.type_defs import (
        PublishBatchRequestEntryTypeDef,
        PublishBatchResponseTypeDef,
    )

CONNECT_S = 2.0
READ_S = 5.0
TIMEOUT_S = 15.0
CONNECTIONS = 8
MOST_ENTRIES = 10
MOST_BYTES = 262_144
FIFO = ".fifo"
_MODELS = ("service-2", "endpoint-rule-set-1")
_TABLES = ("endpoints", "partitions", "_retry", "sdk-default-configuration")


class TopicTrouble(Exception):
    """A topic that can't be found or made."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


class _Opened(NamedTuple):
    """A client and the session that knows its credentials."""

    session: AioSession
    client: SNSClient


class SnsClient:
    """Empty `region`, `endpoint`, `profile`: what AWS's own variables and files say."""

    def __init__(
        self,
        *,
        region: str = "",
        endpoint: str = "",
        profile: str = "",
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._region = region or None
        self._endpoint = endpoint or None
        self._profile = profile or None
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._opened: _Opened | None = None
        self._account = ""
        self._in_use = 0
        self._is_stale = False

    async def publish(self, topic: str, messages: Sequence[Message]) -> list[Outcome]:
        """Publishes at most `MOST_ENTRIES` messages in one call; an outcome for each, in order.

        `topic` is a name or an ARN. Messages of one group must not be in one call.
        """
        try:
            async with asyncio.timeout(self._timeout), self._used() as opened:
                answer = await opened.client.publish_batch(
                    TopicArn=await self._arn(opened, topic),
                    PublishBatchRequestEntries=[
                        _entry(str(place), message, is_fifo=topic.endswith(FIFO))
                        for place, message in enumerate(messages)
                    ],
                )
        except FAILURES as error:
            if code_of(error) in TOO_LONG and len(messages) > 1:
                # The topic takes less than SNS does by default.
                return [(await self.publish(topic, [one]))[0] for one in messages]
            return [(await self._told(error, topic)).outcome] * len(messages)
        return self._read(answer, topic, messages)

    async def require(self, topic: str) -> str:
        """The topic's ARN; raises `TopicTrouble` where it can't be used."""
        try:
            async with asyncio.timeout(self._timeout), self._used() as opened:
                arn = await self._arn(opened, topic)
                found = await opened.client.get_topic_attributes(TopicArn=arn)
        except FAILURES as error:
            raise TopicTrouble(await self._told(error, topic)) from error
        return found["Attributes"]["TopicArn"]

    async def make(self, name: str) -> str:
        """Makes the topic and answers its ARN; raises `TopicTrouble` where that can't be done."""
        attributes = {"SignatureVersion": "2"}
        if name.endswith(FIFO):
            attributes |= {"FifoTopic": "true", "ContentBasedDeduplication": "false"}
        try:
            async with asyncio.timeout(self._timeout), self._used() as opened:
                made = await opened.client.create_topic(Name=name, Attributes=attributes)
        except FAILURES as error:
            raise TopicTrouble(await self._told(error, name)) from error
        return made["TopicArn"]

    async def close(self) -> None:
        async with self._opening:
            await self._forget()

    @asynccontextmanager
    async def _used(self) -> AsyncIterator[_Opened]:
        async with self._opening:
            if self._is_stale and self._in_use == 0:
                await self._forget()
            if self._opened is None:
                self._opened = await self._open()
            opened = self._opened
            self._in_use += 1
        try:
            yield opened
        finally:
            self._in_use -= 1

    async def _open(self) -> _Opened:
        session = open_session(self._profile)
        # Reading the models takes a tenth of a second, which requests must not wait for.
        await asyncio.to_thread(_read_models, session)
        client: SNSClient = await self._stack.enter_async_context(
            session.create_client(
                "sns",
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=_config(),
            )
        )
        return _Opened(session, client)

    async def _forget(self) -> None:
        self._is_stale, self._opened, self._account = False, None, ""
        await self._stack.aclose()

    async def _told(self, error: Exception, topic: str) -> Trouble:
        trouble = told(error, self._placed(topic))
        if trouble.kind == "passing" and self._opened is not None:
            session, client = self._opened
            region = client.meta.region_name
            # Another endpoint than AWS's own may use any name for its region.
            if f".{region}.amazonaws." in client.meta.endpoint_url and (
                region not in await session.get_available_regions("sns", client.meta.partition)
            ):
                return Trouble(
                    kind="settings",
                    text=f"SNS can't be reached in {region}, and AWS has no such region as far as "
                    "is known; check STOREKEEPER_AWS_REGION",
                )
        return self._noted(trouble)

    def _noted(self, trouble: Trouble) -> Trouble:
        """Other credentials may be in a file by now: the next call looks."""
        if trouble.kind == "credentials":
            self._is_stale = True
        return trouble

    def _placed(self, topic: str) -> str:
        """The topic for people, with its region where the name leaves that open."""
        if topic.startswith("arn:") or self._opened is None:
            return topic
        return f"{topic} in {self._opened.client.meta.region_name}"

    async def _arn(self, opened: _Opened, topic: str) -> str:
        if topic.startswith("arn:"):
            return topic
        region = opened.client.meta.region_name
        if not self._account:
            async with opened.session.create_client(
                "sts", region_name=region, endpoint_url=self._endpoint, config=_config()
            ) as sts:
                self._account = (await sts.get_caller_identity())["Account"]
        return f"arn:{opened.client.meta.partition}:sns:{region}:{self._account}:{topic}"

    def _read(
        self, answer: PublishBatchResponseTypeDef, topic: str, messages: Sequence[Message]
    ) -> list[Outcome]:
        outcomes = {one.get("Id", ""): DELIVERED for one in answer.get("Successful", ())}
        for one in answer.get("Failed", ()):
            trouble = told_of_entry(
                one.get("Code", ""), one.get("Message", ""), self._placed(topic)
            )
            outcomes[one["Id"]] = self._noted(trouble).outcome
        silence = Trouble(kind="passing", text="SNS said nothing of this message")
        return [outcomes.get(str(place), silence.outcome) for place in range(len(messages))]


def fits(message: Message) -> Outcome | None:
    """Why a message can't be sent, whatever the topic; None where it can."""
    return too_large(message.size, MOST_BYTES).outcome if message.size > MOST_BYTES else None


def _entry(place: str, message: Message, *, is_fifo: bool) -> PublishBatchRequestEntryTypeDef:
    entry: PublishBatchRequestEntryTypeDef = {
        "Id": place,
        "Message": message.body,
        "Subject": message.title,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value}
            for name, value in message.attributes.items()
        },
    }
    if is_fifo:
        entry["MessageGroupId"] = message.group
        entry["MessageDeduplicationId"] = message.id
    return entry


def _config() -> AioConfig:
    return AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=CONNECTIONS,
        # Trying again is the relay's: it knows what else waits, and every try is seen.
        retries={"mode": "standard", "total_max_attempts": 1},
        tcp_keepalive=True,
    )


def _read_models(session: AioSession) -> None:
    """Fills the session's cache, from which clients are made."""
    loader = session.get_component("data_loader")
    for service in ("sns", "sts"):
        for model in _MODELS:
            loader.load_service_model(service, model)
    for table in _TABLES:
        loader.load_data(table)
