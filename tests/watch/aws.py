"""AWS's own client on a local engine, to look at what arrived."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config

from storekeeper.telemetry.cloudwatch.reading import unit_of
from tools.engines.launch import CREDENTIALS


def a_namespace() -> str:
    """One that no other test uses."""
    return f"Shop/{secrets.token_hex(6)}"


@cache
def client(service: str, url: str) -> Any:
    """One for all who ask: to open it takes longer than most of what it is asked."""
    return botocore.session.Session().create_client(
        service,
        region_name=CREDENTIALS["AWS_REGION"],
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard"}),
    )


class Arrived:
    """What a namespace holds, around `now`."""

    def __init__(self, url: str, namespace: str, now: datetime) -> None:
        self._client = client("cloudwatch", url)
        self._namespace = namespace
        self._now = now

    def metrics(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        """Names with their dimensions."""
        pages = self._client.get_paginator("list_metrics").paginate(Namespace=self._namespace)
        return {
            (
                metric["MetricName"],
                tuple((one["Name"], one["Value"]) for one in metric["Dimensions"]),
            )
            for page in pages
            for metric in page["Metrics"]
        }

    def statistic(self, name: str, statistic: str, **dimensions: str) -> float | None:
        """Over the two hours around; None where there is nothing in the name's unit."""
        is_percentile = statistic.startswith("p")
        found = self._client.get_metric_statistics(
            Namespace=self._namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=self._now - timedelta(hours=1),
            EndTime=self._now + timedelta(hours=1),
            Period=86_400,
            Unit=unit_of(name),
            **{("ExtendedStatistics" if is_percentile else "Statistics"): [statistic]},
        )["Datapoints"]
        values = [
            point["ExtendedStatistics"][statistic] if is_percentile else point[statistic]
            for point in found
        ]
        if not values:
            return None
        if statistic in ("Sum", "SampleCount"):
            return float(sum(values))
        return float(min(values) if statistic == "Minimum" else max(values))
