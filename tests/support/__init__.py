"""What tests share, by subject.

========== ==========================================================================================================
browser    A client with a browser's rules for cookies, redirects and headers (``jar.Browser``); a real Chromium.
clock      ``Clock``, set by a test (the fixture ``clock``), and ``ShiftedClock``, ahead of a real one.
contracts  What every session store and every user directory promises, as test classes to inherit.
hosts      Applications behind the middleware. In this process: ``guarded`` (the fixture ``site``), ``guard``,
           ``wsgi_call``, ``worker``. In processes of their own: ``servers``, ``deployment``, ``load``.
           ``operator``: the command line. ``loopback`` keeps every test on this machine.
providers  The stand-in (the fixture ``provider``), which can be told to misbehave; real providers for
           ``integration/``; ``jose``: keys and tokens; ``plain_client``: a client without the package's code.
settings   ``minimal``: mappings and ``make_settings``; ``providers``: settings of one provider; ``people``: what the
           directory is told of a person; ``keys``: secret keys.
stores     PostgreSQL, Redis and Valkey servers, fakes that fail, and programs that many processes run at once.
lowest     The lowest versions that ``setup.py`` allows (``make test-lowest``).
========== ==========================================================================================================
"""
