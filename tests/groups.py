"""Groups of processes that a test started."""

import os
import time


def wait_for_the_end(group: int, most_s: float = 3.0) -> bool:
    """Wait until the last process of a group has ended; tell whether it has.

    Who has ended is forgotten only when its parent, or the system, has asked after it;
    a container may never do so for those whose parent was killed with them.
    """
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False
