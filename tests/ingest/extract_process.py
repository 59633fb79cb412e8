"""One extraction in a process of its own, to be killed: `python -m tests.ingest.extract_process URL FOLDER`."""

import sys
from pathlib import Path

from ingest.report import ExtractionFailed
from tests.ingest.account import Account


def main() -> int:
    """Say that it begins, then extract."""
    account = Account(Path(sys.argv[2]))
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    try:
        account.extract(sys.argv[1])
    except ExtractionFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
