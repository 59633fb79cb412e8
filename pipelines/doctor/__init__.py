"""The command `doctor`: is everything here that a run needs, and if not, what is to be done?

`finding` says what a check found, `local`, `stripe` and `mavera` check, `visit` asks them all. Nothing is written
to Stripe or Mavera, not even to prove that a key cannot write: reading is all that is tried.
"""

from pipelines.doctor.visit import examine, refused_settings

__all__ = ["examine", "refused_settings"]
