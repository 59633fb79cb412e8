"""Signatures of webhook bodies: who may be believed, decided on the raw bytes.

Stripe signs `t.body` with HMAC-SHA256 and sends `t=…,v1=…`; while a secret is rolled, one v1 per live secret, so
any pair may match (https://docs.stripe.com/webhooks#verify-manually). Older schemes (v0) are never accepted, the
comparison takes constant time, and a time more than the tolerance away is refused in both directions.
The scheme of Mavera's callbacks is not published: `sha256=<hex of HMAC-SHA256 over the body>` stands in for it.
The answer is a reason for a counter, never a detail for the sender.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

__all__ = ["TOLERANCE_SECONDS", "SignatureRefusedError", "sign_stripe", "verify_mavera", "verify_stripe"]

TOLERANCE_SECONDS = 300
_LONGEST_HEADER = 4_096
_HEX_DIGITS = 64


class SignatureRefusedError(ValueError):
    """The body is not from whom it claims to be; `reason` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"signature refused: {reason}")
        self.reason = reason


def sign_stripe(body: bytes, *, secret: str, at: datetime) -> str:
    """The header that Stripe would send with `body`, for tests and load generators."""
    stamp = int(at.timestamp())
    return f"t={stamp},v1={_digest(secret, f'{stamp}.'.encode() + body)}"


def verify_stripe(
    body: bytes, header: str | None, *, secrets: Sequence[str], now: datetime, tolerance: int = TOLERANCE_SECONDS
) -> None:
    """Accept a body whose header carries a v1 signature by one of `secrets`, made within `tolerance` seconds.

    Raises: SignatureRefusedError.
    """
    stamp, signatures = _parse(header)
    expected = [_digest(secret, stamp.encode() + b"." + body) for secret in secrets]
    # Every pair is compared, so that the time taken does not tell which secret matched.
    matches = [hmac.compare_digest(mine, theirs) for mine in expected for theirs in signatures]
    if not any(matches):
        raise SignatureRefusedError("no match")
    if abs(int(now.astimezone(UTC).timestamp()) - int(stamp)) > tolerance:
        raise SignatureRefusedError("outside tolerance")


def verify_mavera(body: bytes, header: str | None, *, secret: str) -> None:
    """Accept a body signed with the shared secret.

    Raises: SignatureRefusedError.
    """
    scheme, _, signature = (header or "").partition("=")
    if scheme != "sha256" or not _is_hex(signature):
        raise SignatureRefusedError("no usable header")
    if not hmac.compare_digest(_digest(secret, body), signature):
        raise SignatureRefusedError("no match")


def _parse(header: str | None) -> tuple[str, list[str]]:
    """The timestamp's text, as it was signed, and the v1 signatures."""
    if header is None or len(header) > _LONGEST_HEADER:
        raise SignatureRefusedError("no usable header")
    stamps, signatures = [], []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1" and _is_hex(value):
            signatures.append(value)
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= 12):
        raise SignatureRefusedError("no usable header")
    if not signatures:
        raise SignatureRefusedError("no v1")
    return stamps[0], signatures


def _is_hex(text: str) -> bool:
    return len(text) == _HEX_DIGITS and all(character in "0123456789abcdef" for character in text)


def _digest(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
