"""Activation: segment briefs become Mavera work, and each planned object is paid for at most once.

Enters: briefs (`activation.briefs`), a closed form that can carry aggregates, enums and operator text and nothing
else. Leaves: a priced plan, rows of the `mavera/<table>` tables, an audit trail. The order is
`briefs → plan → approval → apply (ledger → dispatch) → reconcile`. Nothing here knows Stripe or Dagster, and
only `activation.dispatch` sends a request that Mavera may charge for.
"""
