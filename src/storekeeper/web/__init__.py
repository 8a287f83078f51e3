"""The shop and the back office as pages: server-rendered, on the services that the API uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Router

from storekeeper.web.admin.audit import AuditPages
from storekeeper.web.admin.imports import ImportPages
from storekeeper.web.admin.label_pages import LabelDesk
from storekeeper.web.admin.notifications import Endpoints, Sent
from storekeeper.web.admin.order_actions import OrderActions
from storekeeper.web.admin.order_notes import OrderNotePages
from storekeeper.web.admin.order_views import OrderViewForms
from storekeeper.web.admin.orders import OrderDesk
from storekeeper.web.admin.people import OwnKeys, People
from storekeeper.web.admin.products import ProductTable
from storekeeper.web.admin.products_bulk import Bulk
from storekeeper.web.admin.products_edit import ProductPages
from storekeeper.web.admin.settings import SettingsPage
from storekeeper.web.admin.stock import StockDesk
from storekeeper.web.admin.stock_takes import StockTakeDesk
from storekeeper.web.admin.system import SystemPage
from storekeeper.web.admin.today import Today
from storekeeper.web.guard import FormGuard
from storekeeper.web.images import ImagePages
from storekeeper.web.shop.account import AccountPages, Doors
from storekeeper.web.shop.cart import CartPages
from storekeeper.web.shop.catalog import Catalogue
from storekeeper.web.shop.checkout import CheckoutPages
from storekeeper.web.shop.invoices import InvoicePages
from storekeeper.web.shop.orders import OrderPages
from storekeeper.web.shop.reset import ResetPage
from storekeeper.web.static_pages import StaticPages

# Every handler of pages, behind the one guard of forms.
PAGES: Sequence[Any] = (
    Router(
        path="/",
        route_handlers=[
            Catalogue,
            CartPages,
            CheckoutPages,
            OrderPages,
            InvoicePages,
            ResetPage,
            Doors,
            AccountPages,
            Today,
            ProductTable,
            ProductPages,
            Bulk,
            ImportPages,
            OrderDesk,
            OrderActions,
            OrderNotePages,
            OrderViewForms,
            StockDesk,
            StockTakeDesk,
            LabelDesk,
            People,
            OwnKeys,
            Endpoints,
            Sent,
            SystemPage,
            SettingsPage,
            AuditPages,
            StaticPages,
        ],
        middleware=[FormGuard],
    ),
    ImagePages,
)
