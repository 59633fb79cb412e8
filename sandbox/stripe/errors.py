"""Errors in the shape, words and status codes that Stripe's API uses.

https://docs.stripe.com/error-codes and https://docs.stripe.com/rate-limits; the permission message and the
expansion messages as seen in public reports of live answers.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

__all__ = [
    "REASONS",
    "ApiError",
    "cannot_expand",
    "invalid",
    "lock_timeout",
    "missing_permission",
    "missing_resource",
    "rate_limited",
    "server_error",
    "unauthorized",
    "unknown_parameter",
    "unrecognized_url",
    "wrong_method",
]

REASONS: Final = (
    "endpoint-rate",
    "global-rate",
    "endpoint-concurrency",
    "global-concurrency",
    "resource-specific",
)


class ApiError(Exception):
    """An answer that is not 200."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        error: dict[str, Any] = {"message": message, "type": kind}
        if code is not None:
            error["code"] = code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            error["param"] = param
        self.body = orjson.dumps({"error": error})


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, code=code, param=param)


def unknown_parameter(name: str) -> ApiError:
    return invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")


def missing_resource(kind: str, object_id: str, *, param: str, status: int = 404) -> ApiError:
    return ApiError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def cannot_expand(path: str, *, hint: str | None = None) -> ApiError:
    advice = f" You may want to try expanding '{hint}' instead." if hint else ""
    return invalid(f"This property cannot be expanded ({path}).{advice}", param="expand")


def unrecognized_url(method: str, path: str) -> ApiError:
    return ApiError(404, f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs.")


def wrong_method(method: str, path: str) -> ApiError:
    return ApiError(
        405,
        f"The sandbox account is read-only: {method} {path} is not modelled. Change it through /_sandbox/control.",
    )


def unauthorized(shown_key: str | None) -> ApiError:
    if shown_key is None:
        message = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). "
            "See https://stripe.com/docs/api#authentication for details."
        )
    else:
        message = f"Invalid API Key provided: {shown_key}"
    return ApiError(401, message, headers=(("www-authenticate", 'Basic realm="Stripe"'),))


def missing_permission(shown_key: str, account: str, permission: str) -> ApiError:
    return ApiError(
        403,
        f"The provided key '{shown_key}' does not have the required permissions for this endpoint on account "
        f"'{account}'. Having the '{permission}' permission would allow this request to continue.",
        kind="invalid_request_error",
    )


def rate_limited(reason: str | None) -> ApiError:
    """`reason` is sent in its header; without one the client cannot tell what was exceeded."""
    return ApiError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        headers=(("stripe-rate-limited-reason", reason),) if reason else (),
    )


def lock_timeout() -> ApiError:
    return ApiError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it. If you see this error intermittently, retry the request.",
        code="lock_timeout",
    )


def server_error(status: int = 500) -> ApiError:
    return ApiError(status, "An unknown error occurred", kind="api_error")
