"""JSON Schemas of the types that the API takes and gives, made from the types themselves.

What msgspec checks is what is written here, so the document can't promise something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import cleandoc
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect

REF = "#/components/schemas/"
Schema = dict[str, Any]


class Schemas:
    """Collects one component per struct; `of` answers a schema that refers to them."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._kinds: dict[str, Any] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of any type that msgspec can decode."""
        return self._schema(inspect.type_info(kind))

    def _schema(self, info: inspect.Type) -> Schema:
        if isinstance(info, inspect.Metadata):
            return {**self._schema(info.type), **(info.extra_json_schema or {})}
        if isinstance(info, inspect.StructType):
            return self._reference(info)
        if isinstance(info, inspect.UnionType):
            return self._union(info)
        if isinstance(info, (inspect.CollectionType, inspect.TupleType)):
            return self._array(info)
        if isinstance(info, inspect.DictType):
            return _given(
                type="object",
                additionalProperties=self._schema(info.value_type) or True,
                propertyNames=self._key(info.key_type),
                minProperties=info.min_length,
                maxProperties=info.max_length,
            )
        make = _PLAIN.get(type(info))
        if make is None:
            raise TypeError(f"no JSON Schema is known for {info}")
        return make(info)

    def _key(self, info: inspect.Type) -> Schema | None:
        schema = {name: value for name, value in self._schema(info).items() if name != "type"}
        return schema or None

    def _array(self, info: Any) -> Schema:
        if isinstance(info, inspect.TupleType):
            return {
                "type": "array",
                "prefixItems": [self._schema(item) for item in info.item_types],
                "minItems": len(info.item_types),
                "maxItems": len(info.item_types),
            }
        return _given(
            type="array",
            items=self._schema(info.item_type),
            minItems=info.min_length,
            maxItems=info.max_length,
        )

    def _union(self, info: inspect.UnionType) -> Schema:
        members = [self._schema(one) for one in info.types if not _is_none(one)]
        nullable = any(_is_none(one) for one in info.types)
        if len(members) == 1 and nullable:
            (only,) = members
            if isinstance(only.get("type"), str):
                found = {**only, "type": [only["type"], "null"]}
                if "enum" in found:
                    found["enum"] = [*found["enum"], None]
                return found
            return {"anyOf": [only, {"type": "null"}]}
        return {"anyOf": [*members, {"type": "null"}] if nullable else members}

    def _reference(self, info: inspect.StructType) -> Schema:
        name = name_of(info.cls)
        known = self._kinds.setdefault(name, info.cls)
        if known != info.cls:
            raise TypeError(f"two types are called {name}: {known} and {info.cls}")
        if name not in self.components:
            self.components[name] = {}  # so that a type may refer to itself
            self.components[name] = self._struct(info, name)
        return {"$ref": REF + name}

    def _struct(self, info: inspect.StructType, name: str) -> Schema:
        # What refuses unknown fields is an input, which may leave out what has a default. An
        # answer always has all of its fields, unless it leaves out defaults.
        is_input = info.forbid_unknown_fields
        omits = (get_origin(info.cls) or info.cls).__struct_config__.omit_defaults
        properties, required = {}, []
        for field in info.fields:
            schema = self._schema(field.type)
            if is_input and field.default is not msgspec.NODEFAULT:
                schema = {**schema, "default": msgspec.to_builtins(field.default)}
            properties[field.encode_name] = schema
            if field.required or not (is_input or omits or _may_be_unset(field)):
                required.append(field.encode_name)
        return _given(
            title=name,
            description=doc_of(info.cls) or None,
            type="object",
            properties=properties,
            required=required or None,
            additionalProperties=False if is_input else None,
        )


def name_of(kind: Any) -> str:
    """A struct's name in the document: `OrderView`, and `OrderViewPage` for a page of them."""
    arguments = "".join(name_of(one) for one in get_args(kind))
    own: str = "Text" if kind is str else (get_origin(kind) or kind).__name__
    return arguments + own.removesuffix("View") if arguments else own


def doc_of(kind: Any) -> str:
    """The type's own docstring, in one line per paragraph."""
    text = (get_origin(kind) or kind).__dict__.get("__doc__") or ""
    return paragraphs(text)


def paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text).split("\n\n"))


def without_null(schema: Schema) -> Schema:
    """A parameter's schema: it is there or it isn't, but never null."""
    if isinstance(schema.get("type"), list):
        found = {**schema, "type": next(one for one in schema["type"] if one != "null")}
        if "enum" in found:
            found["enum"] = [value for value in found["enum"] if value is not None]
        return found
    members = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(members) == 1:
        return {**{name: v for name, v in schema.items() if name != "anyOf"}, **members[0]}
    return schema


def _given(**members: Any) -> Schema:
    return {name: value for name, value in members.items() if value is not None}


def _may_be_unset(field: inspect.Field) -> bool:
    """An optional field without a default is one that is left out when it is unset."""
    return field.default is field.default_factory is msgspec.NODEFAULT


def _is_none(info: inspect.Type) -> bool:
    return isinstance(info, inspect.NoneType)


def _number(name: str) -> Callable[[Any], Schema]:
    def schema(info: Any) -> Schema:
        return _given(
            type=name,
            minimum=info.ge,
            maximum=info.le,
            exclusiveMinimum=info.gt,
            exclusiveMaximum=info.lt,
            multipleOf=info.multiple_of,
        )

    return schema


def _text(info: Any) -> Schema:
    return _given(
        type="string",
        minLength=info.min_length,
        maxLength=info.max_length,
        pattern=info.pattern,
    )


def _choice(info: Any) -> Schema:
    kinds = {bool: "boolean", int: "integer", str: "string"}
    return {"type": kinds[type(info.values[0])], "enum": list(info.values)}


_PLAIN: Mapping[type, Callable[[Any], Schema]] = {
    inspect.AnyType: lambda info: {},
    inspect.RawType: lambda info: {},
    inspect.NoneType: lambda info: {"type": "null"},
    inspect.BoolType: lambda info: {"type": "boolean"},
    inspect.IntType: _number("integer"),
    inspect.FloatType: _number("number"),
    inspect.StrType: _text,
    inspect.BytesType: lambda info: {"type": "string"},
    inspect.LiteralType: _choice,
    inspect.DateTimeType: lambda info: {"type": "string", "format": "date-time"},
    inspect.DateType: lambda info: {"type": "string", "format": "date"},
    inspect.UUIDType: lambda info: {"type": "string", "format": "uuid"},
}
