"""A socket to serve on, or one line that says why there is none.

Here: opening it before anything else starts, so that a taken port is told at once. Not here: who serves.
"""

import os
import socket

__all__ = ["ListenError", "listen"]

_BACKLOG = 2_048


class ListenError(RuntimeError):
    """The address cannot be used."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises: ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
