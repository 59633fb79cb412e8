"""Runs tap-stripe against another server than Stripe; `benchmarks.peers` starts it with the tap's own Python.

    python benchmarks/peer_tap_stripe.py BASE_URL KEY START FOLDER STREAM …

The tap is used as it is installed: its catalog with the named streams selected, its records on stdout. It takes
names from the address `api.stripe.com`, so the address is exchanged below it, where `requests` sends.
"""

import json
import sys
from pathlib import Path
from typing import Any

import requests
import tap_stripe

_STRIPE = "https://api.stripe.com"


def main(base: str, key: str, start: str, folder: Path, streams: list[str]) -> None:
    """Select the streams and hand over to the tap; without an account id it reads the key's own account."""
    catalog = tap_stripe.discover()
    for stream in catalog["streams"]:
        root = next(entry for entry in stream["metadata"] if not entry["breadcrumb"])
        root["metadata"]["selected"] = stream["tap_stream_id"] in streams
    config = {"start_date": start, "account_id": None, "client_secret": key}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    (folder / "config.json").write_text(json.dumps(config))
    _redirect(base)
    sys.argv = ["tap-stripe", "--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json"]
    tap_stripe.main()


def _redirect(base: str) -> None:
    request = requests.Session.request

    def redirected(self: requests.Session, method: str, url: str, *args: Any, **options: Any) -> Any:
        if not url.startswith(_STRIPE):
            raise ValueError(f"the tap asked for {url}, which is not Stripe")
        return request(self, method, base + url.removeprefix(_STRIPE), *args, **options)

    requests.Session.request = redirected


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), sys.argv[5:])
