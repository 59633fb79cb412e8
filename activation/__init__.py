"""Activation: segment briefs become Mavera work, and each planned object is paid for at most once.

Enters: briefs (`activation.briefs`), a closed form that can carry aggregates, enums and operator text and nothing
else. Leaves: a priced plan, rows of the `mavera/<table>` tables, an audit trail. Nothing here knows Stripe or
Dagster, and only `activation.dispatch` sends a request that Mavera may charge for.

What other rooms call, in the order of a run:

- `account.Account`: the state, the Mavera door, its pace (`rate_window.RateWindow`), identity and policy.
- `reconcile.reconcile(account, run_id, actor, wait)`: settle what earlier runs left open; orphans and drift.
- `plan.build_plan(account, briefs, source, suppressed, callback_url)`: what would be done, and its price.
- `approval.approval_status(account, plan)`, `approval.approve(account, plan_hash, approver)`.
- `apply.apply(account, plan, run_id, actor, progress)`: carry it out; a report with all tables.
- `held.held(account)`, `held.resolve_held(account, key, decision, actor, run_id, remote_id)`: a person's cases.
- `spending.spend(account)`, `audit.export(state, since, until)`, `audit.verify(state)`.
- `guards.check_targets(...)`: which keys may meet which targets, before any request.
"""
