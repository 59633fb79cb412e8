"""Object ids that look like Stripe's, drawn from a seeded source.

Only the text of an id is made here; which object gets one is the caller's business. Prefixes and lengths as in
Stripe's API reference; the account's mark inside newer ids is constant, as it is within a real account.
"""

from __future__ import annotations

from binascii import b2a_base64
from random import Random
from typing import Final

__all__ = ["Ids"]

# Base64 has two signs that ids have not.
_LETTERS_ONLY: Final = bytes.maketrans(b"+/", b"kW")
_ACCOUNT_MARK: Final = "SbxMvR4kQpZt"
# Kinds that carry the account's mark and start with a digit; all others are 14 characters.
_LONG: Final = {
    "sub": "1", "in": "1", "il": "1", "ii": "1", "price": "1", "pm": "1", "evt": "1", "di": "1",
    "inpay": "1", "mtr": "1", "txr": "1", "txn": "3", "ch": "3", "pi": "3", "re": "3", "du": "1", "acct": "1",
}  # fmt: skip


class Ids:
    """A stream of ids; the same seed gives the same stream."""

    def __init__(self, seed: str) -> None:
        self._bytes = Random(seed).randbytes

    def new(self, prefix: str) -> str:
        digit = _LONG.get(prefix)
        letters = self.text(14)
        if digit is None:
            return f"{prefix}_{letters}"
        return f"{prefix}_{digit}{letters[:6]}{_ACCOUNT_MARK}{letters[6:]}"

    def text(self, length: int) -> str:
        """Up to 16 random letters and digits."""
        return b2a_base64(self._bytes(12), newline=False).translate(_LETTERS_ONLY).decode()[:length]
