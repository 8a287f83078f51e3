"""CSV in and out for people: an upload that becomes a job, the job's progress, and exports."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.errors import KeyReused, PayloadTooLarge, ShopError
from storekeeper.domain.work import Job
from storekeeper.http.answers import CSV, Answer
from storekeeper.http.imports import ANY_IMPORT
from storekeeper.services.csv_export import Exporter
from storekeeper.services.csv_import import Kind
from storekeeper.services.job_run import SCOPES
from storekeeper.services.jobs import ENDED, Jobs
from storekeeper.web.admin.frame import admin_page
from storekeeper.web.admin.products_list import LONGEST_CURSOR, PRODUCTS
from storekeeper.web.downloads import Download
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
JobPath = Annotated[str, PathParameter(max_length=64)]
IMPORTS = f"{PRODUCTS}/imports"
ON_A_PAGE = 20
# Between two looks at a job, for a page without scripts.
RENEW_S = 3
# What a form has besides its file.
_AROUND = 10_000


class ImportPages(Controller):
    """The size of an upload is bounded by its own setting, while it is being read."""

    path = PRODUCTS
    opt = {"is_page": True}
    include_in_schema = False
    request_max_body_size = None

    @get("/imports", access=ANY_IMPORT, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        """The form, and the imports of the last month, newest first."""
        visit = visit_of(request)
        return await _page(visit, FormErrors(visit))

    @post("/imports", access=ANY_IMPORT, status_code=200, media_type=HTML, takes_file=True)
    async def submit(self, request: PageRequest) -> Answer[bytes]:
        """Keeps the file and goes to the page of its job."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        try:
            job = await _submitted(visit, errors)
        except KeyReused:
            errors.add("file", visit.say("This form was sent before. Choose the file once more."))
        except ShopError as error:
            if error.status >= 500 and "retry_after" not in error.members:
                raise
            errors.add("file", exactly(visit, error))
        else:
            if job is not None:
                return visit.go(f"{IMPORTS}/{job.id}")
        return await _page(visit, errors)

    @get("/imports/{job_id:str}", access=ANY_IMPORT, media_type=HTML)
    async def follow(self, request: PageRequest, job_id: JobPath) -> Answer[bytes]:
        """A job and how far it is; `part` is what changes of it."""
        visit = visit_of(request)
        job = await _jobs(visit).job(job_id)
        values: dict[str, Any] = {"job": job, "is_over": job.state in ENDED}
        if visit.query.get("part"):
            return visit.page("admin/import_progress.html", **values)
        return admin_page(visit, "admin/import.html", renew=RENEW_S, **values)

    @get("/imports/{job_id:str}/errors.csv", access=ANY_IMPORT, media_type=CSV)
    async def bad_rows(self, request: PageRequest, job_id: JobPath) -> Download:
        """Line, column and reason of every bad row."""
        visit = visit_of(request)
        return Download(visit, await _jobs(visit).errors(job_id), "errors")

    @get("/export.csv", access="products:read", media_type=CSV)
    async def export(self, request: PageRequest) -> Download:
        """All products, in the form that an import takes."""
        visit = visit_of(request)
        exporter: Exporter = visit.pages.shop.exporter
        return Download(visit, exporter.export_products(), "products")


async def _submitted(visit: Visit, errors: FormErrors) -> Job | None:
    """The job of what was sent; None, with what is wrong noted, where there is none."""
    kind = _kind(visit)
    if kind is None:
        errors.add("kind", visit.say("Choose what the file holds."))
    if visit.upload is None:
        errors.add("file", visit.say("Choose a file."))
    if kind is None or visit.upload is None:
        return None
    most = _jobs(visit).max_upload_bytes
    announced = visit.header(b"content-length")
    if announced.isdigit() and int(announced) > most + _AROUND:
        raise PayloadTooLarge(f"the file may have at most {most // 1_000_000} MB")
    return await _jobs(visit).submit(
        visit.principal,
        aiter(visit.upload),
        kind=kind,
        mode="skip_bad" if visit.text("mode") == "skip_bad" else "all_or_nothing",
        dry_run=visit.text("dry_run") == "1",
        key=visit.text("key")[:200] or None,
    )


def _kind(visit: Visit) -> Kind | None:
    kinds: tuple[Kind, ...] = ("products", "stock")
    return next((one for one in kinds if one == visit.text("kind")), None)


async def _page(visit: Visit, errors: FormErrors) -> Answer[bytes]:
    cursor = visit.query.get("cursor", "")[:LONGEST_CURSOR]
    page = await _jobs(visit).list_jobs(limit=ON_A_PAGE, cursor=cursor or None)
    kinds = [kind for kind, scope in SCOPES.items() if visit.principal.may(scope)]
    return admin_page(
        visit,
        "admin/imports.html",
        status=422 if errors else 200,
        errors=errors,
        kinds=kinds,
        page=page,
        most_bytes=_jobs(visit).max_upload_bytes,
    )


def _jobs(visit: Visit) -> Jobs:
    found: Jobs = visit.pages.shop.jobs
    return found
