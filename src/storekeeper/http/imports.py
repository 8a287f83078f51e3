"""CSV in and out: uploads that become jobs, the jobs' progress, and exports as streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import InternalServerException
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from storekeeper.domain import errors
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Job, JobState, RowError
from storekeeper.http import problems
from storekeeper.http.answers import CSV, Answer, csv_stream
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import Key
from storekeeper.http.security import MAX_KEY, principal_of
from storekeeper.services.csv_export import Exporter
from storekeeper.services.csv_import import Kind, Mode
from storekeeper.services.jobs import Jobs

ApiRequest = Request[Any, Any, Any]
JobPath = Annotated[str, PathParameter(max_length=64, description="The job's `id`.")]
# Bodies without a stated type are taken too: `curl --data-binary` sends one for forms.
TAKEN = frozenset({CSV, "application/csv", "application/octet-stream", "text/plain", ""})
ANY_IMPORT = ("products:write", "stock:write")
UPLOADING = (
    errors.Invalid,
    errors.KeyReused,
    errors.PayloadTooLarge,
    errors.UnsupportedMediaType,
    errors.Overloaded,
)
ModeParameter = Annotated[
    Mode,
    QueryParameter(
        description="`all_or_nothing` applies nothing if any row is bad; `skip_bad` the good ones."
    ),
]
DryRun = Annotated[bool, QueryParameter(description="Only say what would happen.")]


Applied = Annotated[
    int, msgspec.Meta(description="Rows that were applied; with `dry_run`, that would be.")
]


class RowErrorView(Struct, frozen=True, kw_only=True):
    """A bad row: the line of the file where it starts, the column, and what is wrong."""

    line: int
    field: str
    reason: str


class JobView(Struct, frozen=True, kw_only=True):
    """An import and how far it is. `bytes_done` of `bytes_total` is its progress: a file that is
    all or nothing is read twice, first checking every row, then applying them. `created`,
    `updated` and `unchanged` count only what is applied; with `dry_run` nothing is, and they say
    what would be. `errors` are the first hundred; all are at `/jobs/{id}/errors`.
    """

    id: str
    kind: str
    state: JobState
    phase: Annotated[
        str, msgspec.Meta(description="`checking` or `applying`; empty before the first row.")
    ]
    mode: Mode
    dry_run: bool
    bytes_done: int
    bytes_total: int
    rows: Annotated[int, msgspec.Meta(description="Rows that this phase has read.")]
    created: Applied
    updated: Applied
    unchanged: Applied
    failed: Annotated[int, msgspec.Meta(description="Bad rows that this phase has found.")]
    errors: tuple[RowErrorView, ...]
    message: str
    created_at: datetime
    updated_at: datetime
    created_by: str


@dataclass
class CsvUpload(Operation):
    """Documents the body, which the handler reads as a stream."""

    def __post_init__(self) -> None:
        schema = Schema(type=OpenAPIType.STRING, content_media_type=CSV)
        self.request_body = RequestBody(
            required=True,
            description="The file itself, in UTF-8; its first line names the columns.",
            content={CSV: OpenAPIMediaType(schema=schema)},
        )


def error_view(error: RowError) -> RowErrorView:
    return RowErrorView(line=error.line, field=error.field, reason=error.reason)


def job_view(job: Job) -> JobView:
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        phase=job.phase,
        mode="skip_bad" if job.skip_bad else "all_or_nothing",
        dry_run=job.dry_run,
        bytes_done=job.done,
        bytes_total=job.total,
        rows=job.rows,
        created=job.created,
        updated=job.updated,
        unchanged=job.unchanged,
        failed=job.failed,
        errors=tuple(map(error_view, job.errors)),
        message=job.message,
        created_at=job.created_at,
        updated_at=job.updated_at,
        created_by=job.created_by,
    )


def jobs_of(request: ApiRequest) -> Jobs:
    found: Jobs = request.app.state.shop.jobs
    return found


def exporter_of(request: ApiRequest) -> Exporter:
    found: Exporter = request.app.state.shop.exporter
    return found


async def _submit(
    request: ApiRequest, kind: Kind, mode: Mode, dry_run: bool, key: str | None
) -> Answer[JobView]:
    if request.content_type[0] not in TAKEN:
        raise errors.UnsupportedMediaType(f"send the file as {CSV}")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise errors.Invalid(
            f"an Idempotency-Key has 1 to {MAX_KEY} characters", field="Idempotency-Key"
        )
    jobs = jobs_of(request)
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > jobs.max_upload_bytes:
        raise errors.PayloadTooLarge(f"an upload has at most {jobs.max_upload_bytes} bytes")
    job = await jobs.submit(
        principal_of(request), body_of(request), kind=kind, mode=mode, dry_run=dry_run, key=key
    )
    return Answer(job_view(job), status_code=202, headers={"Location": f"/jobs/{job.id}"})


async def body_of(request: ApiRequest) -> AsyncIterator[bytes]:
    """The body a piece at a time; raises what ended it before its end."""
    try:
        async for piece in request.stream():
            yield piece
    except InternalServerException:  # Litestar's word for a client that went away
        if "cut_off" in request.scope:
            raise problems.cut_off(request.scope) from None
        raise errors.Malformed("the upload ended before its end; send it again") from None


class Imports(Controller):
    """The size of an upload is bounded by its own setting, while it is being read."""

    tags = ["imports"]
    security = BEARER
    request_max_body_size = None

    @post(
        "/products/import",
        access="products:write",
        status_code=202,
        summary="Import products from CSV",
        responses=needs_login(*UPLOADING),
        operation_class=CsvUpload,
    )
    async def import_products(
        self,
        request: ApiRequest,
        mode: ModeParameter = "all_or_nothing",
        dry_run: DryRun = False,
        idempotency_key: Key = None,
    ) -> Answer[JobView]:
        """Makes and revises products by SKU, in the background; follow the job for its progress.

        The columns are those of the export. One that is missing leaves products as they are.
        """
        return await _submit(request, "products", mode, dry_run, idempotency_key)

    @post(
        "/stock/import",
        access="stock:write",
        status_code=202,
        summary="Import counted stock from CSV",
        responses=needs_login(*UPLOADING),
        operation_class=CsvUpload,
    )
    async def import_stock(
        self,
        request: ApiRequest,
        mode: ModeParameter = "all_or_nothing",
        dry_run: DryRun = False,
        idempotency_key: Key = None,
    ) -> Answer[JobView]:
        """Sets the units on hand: columns `sku`, `on_hand`, and if wanted `location`, `note`."""
        return await _submit(request, "stock", mode, dry_run, idempotency_key)

    @get(
        "/products/export",
        access="products:read",
        summary="Export all products as CSV",
        responses=needs_login(),
        media_type=CSV,
    )
    async def export_products(self, request: ApiRequest) -> Stream:
        """What import takes; cells that a spreadsheet would run are defused by an apostrophe."""
        return csv_stream(exporter_of(request).export_products(), "products")

    @get(
        "/stock/export",
        access="stock:read",
        summary="Export the units on hand as CSV",
        responses=needs_login(),
        media_type=CSV,
    )
    async def export_stock(self, request: ApiRequest) -> Stream:
        """What import takes as a count."""
        return csv_stream(exporter_of(request).export_stock(), "stock")

    @get(
        "/stock/movements/export",
        access="stock:read",
        summary="Export the ledger as CSV",
        responses=needs_login(),
        media_type=CSV,
    )
    async def export_movements(self, request: ApiRequest) -> Stream:
        """Every movement, oldest first."""
        return csv_stream(exporter_of(request).export_movements(), "movements")


class JobsController(Controller):
    path = "/jobs"
    tags = ["imports"]
    security = BEARER

    @get("/", access=ANY_IMPORT, summary="List imports", responses=needs_login(errors.Invalid))
    async def list_jobs(
        self, request: ApiRequest, limit: Limit = 50, cursor: Cursor = None
    ) -> Answer[PageView[JobView]]:
        """Newest first; they are kept for a month after they ended."""
        page = await jobs_of(request).list_jobs(limit=limit, cursor=cursor)
        return page_answer(request, page, job_view)

    @get(
        "/{job_id:str}",
        access=ANY_IMPORT,
        summary="Follow an import",
        responses=needs_login(errors.NotFound),
    )
    async def read(self, request: ApiRequest, job_id: JobPath) -> Answer[JobView]:
        """Its progress and its figures so far; `done` or `failed` is the end of it."""
        return Answer(job_view(await jobs_of(request).job(job_id)))

    @get(
        "/{job_id:str}/errors",
        access=ANY_IMPORT,
        summary="All bad rows of an import as CSV",
        responses=needs_login(errors.NotFound),
        media_type=CSV,
    )
    async def bad_rows(self, request: ApiRequest, job_id: JobPath) -> Stream:
        """Line, column and reason of each."""
        return csv_stream(await jobs_of(request).errors(job_id), f"errors-{job_id}")
