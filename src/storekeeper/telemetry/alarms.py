"""The alarms of a shop on CloudWatch: one definition, for its deployment and for the tests.

Each is a dictionary of AWS's own words, the same that PutMetricAlarm takes and that
AWS::CloudWatch::Alarm has for properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FAULTS = "storekeeper_http_faults_total"
REQUESTS = "storekeeper_http_requests_total"
SECONDS = "storekeeper_http_request_seconds"
QUEUE = "storekeeper_write_queue_depth"
LAG = "storekeeper_outbox_lag_seconds"
DEAD = "storekeeper_dead_letters"
DROPPED = "storekeeper_cloudwatch_dropped_total"
# One failure of three requests at night is no third of the shop.
LEAST_REQUESTS = 20
MOST_PERCENT = 5
BURST = 10
# An end of a bucket of the histogram, so that the percentile is exact about it.
SLOW_S = 1.0
LATE_S = 300.0


def alarms(
    namespace: str,
    *,
    topics: Sequence[str] = (),
    prefix: str = "storekeeper-",
    period: int = 60,
    write_queue: int = 4_096,
) -> list[dict[str, Any]]:
    """All of them. `topics`: ARNs of SNS topics that are told of alarm and of its end.

    `period`: seconds, a multiple of 60 and no less than `cloudwatch_seconds`. `write_queue`: as the
    shop is set.
    """
    plain = _Plain(namespace, period)
    found = [
        _error_rate(namespace, period),
        plain.alarm(
            "fault-burst",
            f"{BURST} or more requests failed within a period, whatever the traffic.",
            FAULTS,
            Statistic="Sum",
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            Threshold=float(BURST),
        ),
        plain.alarm(
            "slow",
            f"One request in a hundred takes more than {SLOW_S:g} s.",
            SECONDS,
            ExtendedStatistic="p99",
            EvaluateLowSampleCountPercentile="ignore",
            Threshold=SLOW_S,
            EvaluationPeriods=5,
        ),
        plain.alarm(
            "write-queue",
            "Three quarters of the places for waiting change sets are taken.",
            QUEUE,
            Threshold=write_queue * 0.75,
            EvaluationPeriods=3,
        ),
        plain.alarm(
            "outbox-lag",
            "Events wait for a channel that doesn't take them.",
            LAG,
            Threshold=LATE_S,
            EvaluationPeriods=3,
        ),
        plain.alarm(
            "dead-letters",
            "Deliveries were given up; replay them with POST /deliveries/replay-dead.",
            DEAD,
        ),
        plain.alarm(
            "figures-dropped",
            "CloudWatch didn't get all figures; the log says why.",
            DROPPED,
            Statistic="Sum",
        ),
        plain.alarm(
            "silent",
            "No process of the shop sends figures.",
            FAULTS,
            Statistic="SampleCount",
            ComparisonOperator="LessThanThreshold",
            Threshold=1.0,
            EvaluationPeriods=5,
            TreatMissingData="breaching",
        ),
    ]
    told = {"AlarmActions": list(topics), "OKActions": list(topics)}
    return [{**one, **told, "AlarmName": prefix + one["AlarmName"]} for one in found]


def _error_rate(namespace: str, period: int) -> dict[str, Any]:
    def summed(id: str, name: str) -> dict[str, Any]:
        metric = {"Namespace": namespace, "MetricName": name}
        stat = {"Metric": metric, "Period": period, "Stat": "Sum"}
        return {"Id": id, "MetricStat": stat, "ReturnData": False}

    return {
        "AlarmName": "error-rate",
        "AlarmDescription": f"More than {MOST_PERCENT} % of at least {LEAST_REQUESTS} requests "
        "within a period failed.",
        "Metrics": [
            {
                "Id": "rate",
                "Label": "failed requests, %",
                "Expression": f"IF(requests >= {LEAST_REQUESTS}, 100 * faults / requests, 0)",
                "ReturnData": True,
            },
            summed("requests", REQUESTS),
            summed("faults", FAULTS),
        ],
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": float(MOST_PERCENT),
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "TreatMissingData": "notBreaching",
    }


class _Plain:
    """Alarms on one metric, without dimensions."""

    def __init__(self, namespace: str, period: int) -> None:
        self._namespace = namespace
        self._period = period

    def alarm(self, name: str, text: str, metric: str, **more: Any) -> dict[str, Any]:
        """The largest value of a period above 0, unless `more` says otherwise."""
        statistic = {} if "ExtendedStatistic" in more else {"Statistic": "Maximum"}
        return {
            "AlarmName": name,
            "AlarmDescription": text,
            "Namespace": self._namespace,
            "MetricName": metric,
            "Dimensions": [],
            "Period": self._period,
            **statistic,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0.0,
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",
            **more,
        }
