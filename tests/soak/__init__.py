"""The soak of the whole: three hosts, one store, people at work, and one fault after another (``make soak``).

========= ===========================================================================================================
schedule  Which faults follow each other: a list that a seed makes anew.
faults    What a fault does, and what undoes it.
relay     The line between hosts and store, which can be slow, or cut.
stores    Where sessions live: cookies alone, cookies and a directory, Redis, Sentinels, PostgreSQL, SQLite.
hosts     A gunicorn of each kind (sync, gthread, gevent), with a clock that can be put forward (``clock/``).
people    Who works meanwhile: those who stay, those who come and go, thieves, strangers, readers of public pages.
promises  What docs/stores.rst and docs/deployment.rst promise, in seconds.
model     Faults, sessions, answers, and what is counted of them.
browsers  How long they waited, and what a page said to them.
checker   What each answer may be.
excuses   What a worker may not know while the store is away.
growth    Memory and descriptors of each worker: does either grow?
report    The table of a run.
answers   What the tests of the checker hand to it.
========= ===========================================================================================================
"""
