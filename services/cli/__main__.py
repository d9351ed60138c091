"""`python -m services.cli`: the same as `derush`."""

import sys

from services.cli.app import main

sys.exit(main())
