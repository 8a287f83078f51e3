"""Every setting, with its type and its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from storekeeper.config import checks
from storekeeper.domain.accounts import Role

Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. Times in seconds, sizes in bytes."""

    # Where the shop is: in one file of this machine, or in tables that several machines share.
    store: Literal["sqlite", "dynamodb"] = "sqlite"
    # The shop's file; with tables, the folder of this machine's replica is taken from it.
    database: str = "data/shop.db"
    dynamodb_prefix: Annotated[str, msgspec.Meta(pattern=checks.TABLE_PREFIX.pattern)] = (
        "storekeeper-"
    )
    # Whether the tables of products, orders and accounts are kept for other programs.
    dynamodb_views: bool = True
    # Where the quick start of new nodes comes from; empty: they read the whole log.
    snapshot_bucket: Annotated[
        str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")
    ] = ""
    snapshot_entries: Positive = 50_000
    snapshot_endpoint_url: str = ""
    # Where `backup --continuous` sends what is committed: s3://bucket/prefix, or a folder.
    backup_target: str = ""
    # For a bucket that isn't at AWS.
    backup_endpoint_url: str = ""
    # How often it looks for what is new, and makes a new snapshot.
    backup_seconds: Positive = 1
    backup_snapshot_hours: Positive = 24
    # For how long every moment can be restored.
    backup_days: Positive = 7
    # How long SQLite's -wal may get while the target is away.
    backup_wal_bytes: Positive = 268_435_456
    # Where pictures of products are kept; empty: in the folder `images` beside the shop's file.
    image_bucket: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")] = ""
    image_endpoint_url: str = ""
    # Empty: what AWS's own variables, its configuration file or the machine's role say.
    aws_region: str = ""
    aws_profile: str = ""
    aws_endpoint_url: str = ""
    # Where the figures of /metrics are sent besides; empty: nowhere.
    cloudwatch_namespace: str = ""
    cloudwatch_seconds: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 60
    # Sends each figure under this node's name too, which CloudWatch bills as metrics of its own.
    cloudwatch_node: str = ""
    # Empty: the one for all of AWS above.
    cloudwatch_endpoint_url: str = ""
    # A server of the Valkey protocol (ElastiCache) that nodes share; empty: each its own memory.
    cache_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8_000
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    public_url: str = "http://127.0.0.1:8000"
    shop_name: str = "Storekeeper"
    # What invoices say of the seller (name, address, tax number) and at their end; lines parted by
    # line breaks or |. Empty: the shop's name, and nothing.
    invoice_seller: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    invoice_note: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    # Where customers ask; stands on pages and invoices, and mails name it for answers. Empty: none.
    contact_email: str = ""
    # The reorder point that the form of a new product begins with; none where it is left out.
    low_stock_threshold: Natural | None = None
    currency: str = "GBP"
    # Signs access tokens and guests' links; made and kept beside the database when empty.
    secret_key: str = ""
    old_secret_keys: tuple[str, ...] = ()
    access_token_seconds: Positive = 900
    refresh_token_days: Positive = 30
    # A user pool whose people are let in beside the shop's own accounts; empty: none.
    cognito_user_pool_id: str = ""
    # The pool's app clients whose tokens are taken.
    cognito_client_ids: tuple[str, ...] = ()
    # Empty: the one that the pool's id begins with.
    cognito_region: str = ""
    # What the pool's groups make of their members: "admins=admin", "shop floor=staff".
    cognito_groups: tuple[str, ...] = ()
    # Empty: the pool's own. For local engines, or a copy inside a closed network.
    cognito_jwks_url: str = ""
    reservation_seconds: Positive = 900
    sweep_seconds: Positive = 5
    allocation: Literal["one_if_possible", "priority"] = "one_if_possible"
    write_batch: Positive = 256
    write_queue: Positive = 4_096
    max_body_bytes: Positive = 2_097_152
    max_upload_bytes: Positive = 268_435_456
    # How long a client may take for a request's head, and for each part of its body.
    header_seconds: Positive = 30
    body_seconds: Positive = 30
    # How long an answered connection waits for the next request: longer than what stands in front
    # keeps one (nginx and Amazon's balancers 60, Caddy 120), or a request meets one that just ends.
    keep_alive_seconds: Positive = 130
    # Of each process; fewer where the system allows it fewer open files.
    max_connections: Positive = 4_096
    requests_per_minute: Natural = 1_200
    trusted_proxies: tuple[str, ...] = ()
    # The header in which they name the client, one address; empty: X-Forwarded-For.
    client_header: str = ""
    password_hashes_at_once: Positive = 2
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    notify_console: bool = True
    mail_from: str = checks.DEFAULT_ADDRESS
    smtp_host: str = ""
    smtp_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 587
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    webhook_private_addresses: bool = False
    # Amazon SNS topics, by name or ARN; empty: off. A name that ends in .fifo is one that keeps order.
    sns_orders_topic: str = ""
    sns_stock_topic: str = ""
    delivery_attempts: Positive = 12
    # How long requests are taken on after SIGTERM while /readyz says 503 already: for balancers that
    # ask it.
    drain_seconds: Natural = 0
    shutdown_seconds: Positive = 20

    # Where each that isn't a default came from; no setting of its own.
    sources: dict[str, str] = {}

    def __post_init__(self) -> None:
        checks.check_all(self)

    @property
    def cognito_roles(self) -> dict[str, Role]:
        """What each group of the user pool makes of its members."""
        return checks.roles_of(self.cognito_groups)

    @property
    def data_dir(self) -> Path:
        return Path(self.database).resolve().parent

    @property
    def exists(self) -> bool:
        """Whether there is something at the shop's place, as far as can be told from here."""
        return self.store != "sqlite" or Path(self.database).exists()

    @property
    def place(self) -> str:
        """Where the shop is, for people."""
        if self.store == "dynamodb":
            return f"the DynamoDB tables {self.dynamodb_prefix}*"
        return self.database
