"""Open a page in the browser to try a model on clips and look through its run.

Example: tools/app.py --model run/best.ckpt
"""

import os
import signal
import sys
import threading
from typing import NoReturn

from fmrgb_tools.command import OK, run_tool, show

from fmrgb.app_options import AppOptions


def work(options: AppOptions) -> int:
    """Serve the page until Ctrl-C."""
    # As in predict: threads that wait by spinning would make answers slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from fmrgb.app import running

    signal.signal(signal.SIGTERM, interrupt)
    try:
        with running(options) as address:
            lines = [f"open {address} in a browser; Ctrl-C ends the page"]
            show({"address": address}, lines, as_json=options.json)
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        print("the page is closed", file=sys.stderr)
    return OK


def interrupt(*_: object) -> NoReturn:
    """End as by Ctrl-C, so that temporary files go."""
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("app", AppOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
