"""Turns docstrings into help: paragraphs flow to the terminal's width, examples stay as written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer

F = TypeVar("F", bound=Callable[..., Any])


def command(app: typer.Typer, name: str, **more: Any) -> Callable[[F], F]:
    """Registers a command under `name`, with its docstring as help."""

    def register(function: F) -> F:
        app.command(name, help=flowing(function.__doc__ or ""), **more)(function)
        return function

    return register


def flowing(text: str) -> str:
    """The text with each paragraph on one line, but for those that begin with a backspace."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        part if part.startswith("\b") else " ".join(part.split()) for part in paragraphs
    )
