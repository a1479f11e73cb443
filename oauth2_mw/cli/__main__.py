"""``python -m oauth2_mw.cli``: the commands where no script is installed."""

import sys

from oauth2_mw.cli.main import main

sys.exit(main())
