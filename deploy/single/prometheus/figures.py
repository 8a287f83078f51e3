"""Expressions that alerts and dashboard share, and the names of jobs that they count on."""

from __future__ import annotations

# Jobs of prometheus.yml: the shop's own figures, its /readyz, its address as customers see it, and
# its machine. Another shop's are named after its own first job in the same way.
JOB = "storekeeper"
READY, PUBLIC, MACHINE = "ready", "public", "machine"


def disk(job: str) -> str:
    """What is taken of each file system, in percent, as `df` and CloudWatch's agent reckon it: what
    is kept for root counts as neither. What is mounted from images is always full."""
    which = f'{{job="{job}-{MACHINE}",fstype=~"btrfs|ext[234]|xfs|zfs"}}'
    size, free, available = (
        f"node_filesystem_{what}_bytes{which}" for what in ("size", "free", "avail")
    )
    return f"100 * ({size} - {free})\n  / ({size} - {free} + {available})"


def memory(job: str) -> str:
    """In percent."""
    which = f'{{job="{job}-{MACHINE}"}}'
    return f"100 - 100 * node_memory_MemAvailable_bytes{which} / node_memory_MemTotal_bytes{which}"


def probed(job: str, what: str) -> str:
    """1 where `what` (READY, PUBLIC) answered with 2xx."""
    return f'probe_success{{job="{job}-{what}"}}'


def duration(seconds: int) -> str:
    """As Prometheus writes it: 1h, 4m, 179s."""
    for unit, name in ((3_600, "h"), (60, "m")):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
