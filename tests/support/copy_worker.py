"""Copies a shop as `storekeeper copy` does, step by step: says each, and waits to be told to go on.

Arguments: the folder with the shop, the source, the target, the endpoint of DynamoDB.
"""

from __future__ import annotations

import asyncio
import sys

from storekeeper.app import Place, copy_shop
from storekeeper.config import Settings


def watch(stage: str, done: int, total: int) -> None:
    print(f"{stage} {done}", flush=True)
    sys.stdin.readline()


def main() -> None:
    folder, source, target, endpoint = sys.argv[1:]
    settings = Settings(
        database=f"{folder}/shop.db", aws_region="eu-west-1", aws_endpoint_url=endpoint
    )
    asyncio.run(copy_shop(settings, Place.of(source), Place.of(target), watch=watch))


if __name__ == "__main__":
    main()
