"""When a request must be done, with its retries and redirects."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

from oauth2_mw.provider.http import waiting
from oauth2_mw.provider.http.messages import Timeouts

Given = TypeVar("Given")
Result = TypeVar("Result")


class Deadline:
    """How long a request may take. Each wait for the network is cut to what is left, so that no thread has to watch it.

    A read timeout alone does not limit a request, because it starts anew with each byte.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self._end = time.monotonic() + timeouts.total
        self._work = waiting.meanwhile()
        #: monotonic time
        self._work_is_due = -inf

    def remaining(self) -> float:
        """Return the seconds that are left; never negative."""
        return max(0.0, self._end - time.monotonic())

    def work(self) -> float:
        """Do what there is to do meanwhile, if it is time, and return the seconds until it is time again."""
        if self._work is None:
            return inf
        if time.monotonic() >= self._work_is_due:
            self._work()
            self._work_is_due = time.monotonic() + waiting.SLICE
        return max(self._work_is_due - time.monotonic(), 0.001)

    def run(
        self,
        call: Callable[[Given], Result],
        given: Given,
        *,
        set_timeout: Callable[[float], None],
        seconds: float,
    ) -> Result:
        """Return what a call on a socket returns, and repeat it while nothing comes, until the time is over.

        :param set_timeout: sets the timeout of that socket.
        :param seconds: how long this call may take, if so much is left.
        :raises TimeoutError: if nothing came in time.
        """
        end = min(time.monotonic() + seconds, self._end)
        while (left := end - time.monotonic()) > 0:
            set_timeout(min(left, self.work()))
            try:
                return call(given)
            except TimeoutError:
                pass
        raise TimeoutError("out of time")
