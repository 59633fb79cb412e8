"""`stripe-mavera` with all that any library logs in a file: `python -m tests.pipelines.logged_run FILE …`."""

import logging
import sys

from pipelines.cli import main

if __name__ == "__main__":
    logging.basicConfig(filename=sys.argv.pop(1), level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
    main()
