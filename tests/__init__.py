"""They mirror the package; ``integration/`` talks to real parts, ``support/`` is shared by both."""
