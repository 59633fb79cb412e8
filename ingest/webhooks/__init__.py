"""Webhooks of Stripe and Mavera: received, verified, stored durably, and routed.

Enters: HTTP requests. Leaves: rows of the inbox, and through `routes` the names of what they make due. The inbox
is drained by `ingest.inbox`. The server process and its settings belong to the command line.
"""

from ingest.webhooks.app import HARD_BODY_LIMIT, create_app
from ingest.webhooks.signature import SignatureRefusedError, sign_stripe, verify_stripe

__all__ = ["HARD_BODY_LIMIT", "SignatureRefusedError", "create_app", "sign_stripe", "verify_stripe"]
