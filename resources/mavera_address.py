"""Where a Mavera key may be sent: one origin, https or loopback.

Which pairs of keys and addresses may meet is not decided here but by the settings.
"""

import ipaddress
import re
from collections.abc import Generator

import httpx
from pydantic import SecretStr

__all__ = ["KeyForOneOrigin", "WrongAddressError", "is_loopback", "validate_base_url"]


_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


class WrongAddressError(ValueError):
    """A base URL that must not be used, or a request that would carry the key elsewhere."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def validate_base_url(url: str) -> str:
    """The URL without a trailing slash: https, or http on loopback; no user, query or fragment.

    Raises `WrongAddressError`, which never shows the URL itself, because it can hold a password.
    """
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError) as error:
        raise WrongAddressError(
            "the Mavera base URL is not a URL; set it like https://app.mavera.io/api/v1"
        ) from error
    if not _HOST.fullmatch(parsed.host):
        raise WrongAddressError("the Mavera base URL has no host; set it like https://app.mavera.io/api/v1")
    if parsed.scheme != "https" and not (parsed.scheme == "http" and is_loopback(parsed.host)):
        raise WrongAddressError(f"the Mavera base URL must be https for {parsed.host}; http is for loopback only")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise WrongAddressError("the Mavera base URL must not hold a user, a query or a fragment")
    return str(parsed).rstrip("/")


class KeyForOneOrigin(httpx.Auth):
    """Adds the key to requests of one origin and refuses all others."""

    def __init__(self, key: SecretStr, origin: httpx.URL) -> None:
        self._key = key
        self._origin = _origin(origin)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) != self._origin:
            raise WrongAddressError(f"the Mavera key is not sent to {request.url.host}; use paths of the base URL")
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port or {"http": 80, "https": 443}.get(url.scheme)
