"""``python -m worldmodel_trading`` is the command line."""

import sys

from worldmodel_trading.cli import main

sys.exit(main())
