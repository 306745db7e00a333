"""`chatd` with the last word of one of several: who is logged off is asked to go on elsewhere."""

import sys
from functools import partial

from chatd import cli
from chatd.core import hub

hub.Bye = partial(hub.Bye, reconnect=True, after_s=5)
sys.exit(cli.main())
