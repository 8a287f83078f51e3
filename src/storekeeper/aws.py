"""Sessions with AWS, from which adapters make their clients.

Reading AWS's descriptions of its services is most of the work of making a client, and some of them
are the same for all services: a process reads each once.
"""

from __future__ import annotations

import functools

from aiobotocore.session import AioSession
from botocore.loaders import Loader, create_loader


def open_session(profile: str | None = None) -> AioSession:
    """A session with credentials of its own: who wants others to be looked for opens another.

    Raises `botocore.exceptions.BotoCoreError` for settings of AWS's own that can't be read.
    """
    session = AioSession(profile=profile or None)
    loader = _loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    return session


@functools.cache
def _loader(path: str | None) -> Loader:
    return create_loader(path)
