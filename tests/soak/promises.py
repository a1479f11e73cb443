"""What docs/stores.rst and docs/deployment.rst promise, in seconds, and how much a busy machine may add.

The soak is strict in what is right (whose name, in or out) and generous in what is time: it shares its processors.
"""

from __future__ import annotations

from tests.soak.schedule import Kind

#: The setting revocation_sync, in seconds.
SYNC = 1.0
#: Seconds after which a sign-out, or the command that ended a session, has reached every worker.
REACHED = SYNC + 9.0
#: Seconds after a fault of the store in which sign-outs that could not be told are told: a try every two.
TOLD = 30.0
#: Seconds for which somebody may be put off when all are served again after a fault: the lease of a killed holder
#: lasts ten.
AFTERMATH = 15.0
#: Seconds for which a worker goes on with the list of ended sessions that it has.
GRACE = 60.0
#: Seconds that an answer may take: a store is waited for eight at most, and a machine that does other things adds.
WAIT = 28.0
#: The same for a public path, where another thread of the worker waits for the store, and for a whole sign-in.
PUBLIC_WAIT, SIGN_IN_WAIT = 20.0, 90.0
#: Seconds after which a host that was killed or reloaded answers again: its listening socket keeps who comes meanwhile.
RESTART = 60.0
#: Seconds within which a worker leaves a master that Sentinels have replaced.
LEFT = 10.0
#: Seconds within which a session ends whose refresh token went with a worker: until the lease ends and another tries.
BROKEN = 60.0
#: What the page says when a sign-out could not be told to other workers.
NOT_TOLD = (
    "Our other servers could not be told yet",
    "Until then somebody who has copied your cookies may still use the session there",
)

#: Faults of the store.
OF_STORE: frozenset[Kind] = frozenset(
    {"store killed", "store stopped", "store slow", "store cut", "store full", "master replaced"}
)
#: Those in which Sentinels make another server the master.
OF_MASTER: frozenset[Kind] = frozenset({"store killed", "store stopped", "master replaced"})
#: Faults in which a worker ends, and with it the requests that it has, and the answer of a provider that it waits for.
OF_WORKERS: frozenset[Kind] = frozenset({"worker killed", "host killed"})
#: Faults that nobody notices.
UNNOTICED: frozenset[Kind] = frozenset(
    {"keys rotated", "clock stepped", "person disabled", "everybody revoked"}
)
