"""`python -m chatsh`."""

import sys

from chatsh.cli import main

sys.exit(main())
