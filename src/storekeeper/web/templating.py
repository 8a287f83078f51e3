"""Templates, quicker: texts are put in when a template is compiled, parts that recur are kept.

Both are possible because each language has an environment of its own.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import CodeType
from typing import Any

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined, nodes
from jinja2.bccache import Bucket
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup

from storekeeper.store.port import Listed
from storekeeper.web.devices import device_name
from storekeeper.web.languages import Language

# Cards of products that are kept, in each language: some 600 bytes each.
MOST_CARDS = 4_096


class SpokenEnvironment(Environment):
    """Templates in one language."""

    def __init__(self, spoken: Language) -> None:
        super().__init__(
            loader=PackageLoader("storekeeper.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            extensions=["jinja2.ext.i18n"],
            bytecode_cache=_compiled_in(spoken.code),
        )
        self.spoken = spoken
        self.install_gettext_translations(spoken.texts, newstyle=True)  # type: ignore[attr-defined]
        self.filters.update(
            money=spoken.money,
            number=spoken.number,
            typed=spoken.typed,
            day=spoken.day,
            moment=spoken.moment,
            device=device_name,
        )
        self.globals["product_card"] = Cards(self)


class _Compiled(BytecodeCache):
    """What templates were compiled to, for the next shop that is opened in this process."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


@functools.cache
def _compiled_in(language: str) -> _Compiled:
    return _Compiled()


class _Speaking(CodeGenerator):
    """A text without blanks is looked up once, when the template is compiled."""

    def visit_Call(  # noqa: N802 - the name is Jinja's
        self, node: nodes.Call, frame: Frame, forward_caller: bool = False
    ) -> None:
        text = _plain_text(node)
        if text is None or not isinstance(self.environment, SpokenEnvironment):
            super().visit_Call(node, frame, forward_caller=forward_caller)
        else:
            said = Markup(self.environment.spoken.texts.gettext(text)) % {}  # noqa: S704 - our own
            self.write(f"Markup({str(said)!r})")


SpokenEnvironment.code_generator_class = _Speaking


def _plain_text(node: nodes.Call) -> str | None:
    """What `_('text')` says, or None for any other call."""
    is_ours = isinstance(node.node, nodes.Name) and node.node.name in ("_", "gettext")
    if not is_ours or len(node.args) != 1 or node.kwargs or node.dyn_args or node.dyn_kwargs:
        return None
    (text,) = node.args
    return text.value if isinstance(text, nodes.Const) and isinstance(text.value, str) else None


class Cards:
    """Products as lists of them show them: the same as long as the product and its stock are."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._made: OrderedDict[Hashable, Markup] = OrderedDict()
        self._macro: Callable[..., Markup] | None = None

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, listed: Listed, plenty: int) -> Markup:
        product = listed.product
        units = listed.stock.available
        key = (product.id, product.version, min(units, plenty + 1), listed.in_stock, plenty)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._card(listed, plenty)
            if len(self._made) > MOST_CARDS:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(key)
        return found

    def _card(self, listed: Listed, plenty: int) -> Markup:
        if self._macro is None:
            parts: Any = self._environment.get_template("shop/parts.html").module
            self._macro = parts.card
        return self._macro(listed, plenty)
