"""What pages do beside the event loop, in threads of their own: a person who asks for years of entries must not hold up the counting of
large requests, which has threads of its own too.

Does not know: what is asked.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from jevons.core.limits import PAGE_THREADS

_P = ParamSpec("_P")
_T = TypeVar("_T")
_THREADS = ThreadPoolExecutor(PAGE_THREADS, thread_name_prefix="jevons-pages")


async def aside(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Its result, from one of the pages' threads."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: function(*args, **kwargs))
