"""What people type into forms, turned into the services' types, with errors beside the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from storekeeper.domain.errors import ShopError
from storekeeper.services.validation import invalid_of
from storekeeper.web.refusals import sentence_of, told
from storekeeper.web.visit import Visit

T = TypeVar("T")


class FormErrors:
    """What is wrong with a form: a sentence for each field, under "" for the form as a whole."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._found: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def __contains__(self, field: str) -> bool:
        return field in self._found

    def get(self, field: str) -> str:
        return self._found.get(field, "")

    @property
    def fields(self) -> Sequence[str]:
        """The fields that are wrong, in the order in which they were found so."""
        return [field for field in self._found if field]

    def refuse(self, error: ShopError, field: str = "") -> None:
        """Files a refusal under a field of the form, or under the form as a whole."""
        self.add(field, told(error, self._visit.language))

    def explain(self, error: ShopError, field: str = "") -> None:
        """The same for staff, who need to know exactly."""
        self.add(field, exactly(self._visit, error))

    def add(self, field: str, text: str) -> None:
        """The first thing that is wrong with a field is what is told of it."""
        self._found.setdefault(field, sentence(text))

    def require(self, *fields: str) -> None:
        for field in fields:
            if not self._visit.text(field):
                self.add(field, self._visit.say("Please fill this in."))

    def note(self, error: ShopError, *, fields: Sequence[str] = (), prefix: str = "") -> None:
        """Files a refusal under the field that it names, if the form has it."""
        field = (error.field or "").removeprefix(prefix)
        self.add(field if field in fields else "", told(error, self._visit.language))

    def read(self, kind: type[T], values: Mapping[str, Any]) -> T | None:
        """The values as a type; None, with what is wrong noted, where they don't fit it."""
        try:
            return msgspec.convert(dict(values), kind)
        except msgspec.ValidationError as error:
            self.note(invalid_of(error, kind), fields=list(values))
            return None


def exactly(visit: Visit, error: ShopError) -> str:
    """What is wrong, for staff: in English where no sentence of the pages says it."""
    return sentence_of(error, visit.language) or error.detail


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
