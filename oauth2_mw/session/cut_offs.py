"""The moments up to which all sessions have ended, or all of one provider: one write ends any number of them.

Nothing is looked for and nothing deleted: every worker compares a session's beginning with the moments that it has read
from the store, and the records of what has ended run out by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.stores import Store

#: Stands for all providers where a NAME stands otherwise.
EVERY = "*"
#: Seconds for which a cut-off is kept: longer than any session lasts, under whichever settings it began.
KEPT = 400 * 86400


class CutOffs:
    """The cut-offs of one application, as one worker knows them.

    :param store: through which all workers learn of them; ``None`` if they share nothing.
    :param providers: the NAMEs of those that are enabled.
    """

    def __init__(
        self, store: Store | None, providers: Iterable[str], *, clocks: Clocks = SYSTEM_CLOCKS
    ) -> None:
        self._store = store
        self._names = {_name(provider): provider for provider in (EVERY, *providers)}
        self._wall = clocks.wall
        #: NAME, or :data:`EVERY` -> up to when sessions began that have ended, in seconds since the epoch
        self.moments: Mapping[str, int] = {}

    def read(self) -> None:
        """Learn of cut-offs, in one round trip. None that is known is forgotten.

        :raises StoreUnavailableError: if the store cannot be used.
        """
        if self._store is not None:
            self.learn(self._store.moments(self._names))

    def learn(self, revoked: Mapping[str, int]) -> None:
        """Learn of the cut-offs among revocations: the moment of each, by its name in the store."""
        for name, moment in revoked.items():
            provider = self._names.get(name)
            if provider is not None and moment > self.moments.get(provider, -1):
                # A new mapping: other threads read the one that there was.
                self.moments = {**self.moments, provider: moment}

    def end(self, provider: str = EVERY) -> int:
        """End all sessions that have begun by now, or those of a provider, and return that moment.

        One that begins in the same second ends as well.

        :raises StoreUnavailableError: if the store cannot be used: nothing has ended.
        """
        now = int(self._wall())
        if self._store is not None:
            self._store.revoke(_name(provider), moment=now, expires=now + KEPT)
        self.learn({_name(provider): now})
        return now

    def covers(self, created_at: int, provider: str) -> bool:
        """Return whether a session has ended by a cut-off.

        :param created_at: when it began, by our clock, in seconds since the epoch.
        :param provider: the NAME of its provider.
        """
        moments = self.moments
        return created_at <= max(moments.get(EVERY, -1), moments.get(provider, -1))


def _name(provider: str) -> str:
    return f"begun:{provider}"
