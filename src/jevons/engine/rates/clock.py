"""The clock that everything here is measured by: seconds in which the engine computed.

With one thread that is the process's own time on the processor, so that other programs that take the core in between do not count. With
several it is the time that passes: threads that wait for each other keep their cores busy, and would be counted as computing.
"""

import time
from collections.abc import Callable


def clock(threads: int) -> Callable[[], float]:
    """Seconds from some beginning."""
    return time.process_time if threads == 1 else time.perf_counter
