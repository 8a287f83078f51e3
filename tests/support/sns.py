"""Subscribers of topics on a local engine: queues of SQS, as somebody else's program has them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from aiobotocore.session import AioSession

from storekeeper.domain.events import Event
from tests.support.builders import an_event

PATIENCE_S = 30


def order_event(number: int, kind: str = "order.placed", **data: Any) -> Event:
    """What the outside is told of order N-`number`, as the domain tells it."""
    return an_event(
        f"order:{number}",
        kind,
        **{
            "order_id": str(number),
            "number": f"N-{number}",
            "state": "pending",
            "total": {"amount": 1_999, "currency": "GBP"},
            "customer_id": None,
            **data,
        },
    )


class Got(NamedTuple):
    """A message as it came out of the queue."""

    body: dict[str, Any]
    envelope: dict[str, Any]
    attributes: dict[str, str]


class Queue:
    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    async def drained(self) -> list[Got]:
        """All that is in the queue now, in its order."""
        got: list[Got] = []
        while more := await self._receive(0):
            got += more
        return got

    async def take(self, count: int) -> list[Got]:
        """Waits for that many messages; raises `AssertionError` if they don't come."""
        got: list[Got] = []
        for _ in range(PATIENCE_S):
            got += await self._receive(1)
            if len(got) >= count:
                return got
        raise AssertionError(f"{count} messages were to come, and these came: {got}")

    async def _receive(self, wait: int) -> list[Got]:
        answer = await self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            AttributeNames=["All"],
        )
        found = answer.get("Messages", [])
        for one in found:
            await self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=one["ReceiptHandle"])
        envelopes = [json.loads(one["Body"]) for one in found]
        return [
            Got(json.loads(envelope["Message"]), envelope, one.get("Attributes", {}))
            for envelope, one in zip(envelopes, found, strict=True)
        ]


class Engine:
    """An engine with clients for those who subscribe."""

    def __init__(self, url: str, sns: Any, sqs: Any) -> None:
        self.url = url
        self.sns = sns
        self._sqs = sqs
        self.arns: dict[str, str] = {}

    async def topic(self, *, is_fifo: bool = False) -> str:
        """A new topic's name."""
        name = f"shop-{uuid4().hex}" + (".fifo" if is_fifo else "")
        attributes = {"FifoTopic": "true"} if is_fifo else {}
        made = await self.sns.create_topic(Name=name, Attributes=attributes)
        self.arns[name] = made["TopicArn"]
        return name

    async def subscribe(self, topic: str, **policy: list[str]) -> Queue:
        """A queue that gets what the filter policy lets through; without one, everything."""
        is_fifo = topic.endswith(".fifo")
        made = await self._sqs.create_queue(
            QueueName=f"queue-{uuid4().hex}" + (".fifo" if is_fifo else ""),
            Attributes={"FifoQueue": "true"} if is_fifo else {},
        )
        url = made["QueueUrl"]
        found = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        await self.sns.subscribe(
            TopicArn=self.arns[topic],
            Protocol="sqs",
            Endpoint=found["Attributes"]["QueueArn"],
            Attributes={"FilterPolicy": json.dumps(policy)} if policy else {},
        )
        return Queue(self._sqs, url)


@asynccontextmanager
async def engine_at(url: str) -> AsyncIterator[Engine]:
    session = AioSession()
    async with AsyncExitStack() as stack:
        sns, sqs = [
            await stack.enter_async_context(
                session.create_client(
                    service,
                    region_name="eu-west-1",
                    endpoint_url=url,
                    aws_access_key_id="local",
                    aws_secret_access_key="local-secret",
                )
            )
            for service in ("sns", "sqs")
        ]
        yield Engine(url, sns, sqs)
