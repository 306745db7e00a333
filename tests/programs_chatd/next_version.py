"""`chatd`, whose next version is what `$PLAN` says where it is started to take over.

`old`: the same once more. `9.9.9`: another version. `broken`: it cannot be imported. `silent`: it
never reports. `gate`: it stands at the database until `$PLAN.gate` can be read. `cannot read`,
`killed`: it fails with the database in its hands. `IMPATIENT`: so many seconds the old one waits.
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path

import chatd

plan = Path(os.environ["PLAN"])
planned = plan.read_text() if "CHATD_SUCCEEDS" in os.environ and plan.exists() else "old"

if planned == "broken":
    raise ImportError("half \x1b[31mof it is missing")
if planned == "silent":
    print("silent", flush=True)
    signal.pause()
if planned == "9.9.9":
    chatd.__version__ = planned

from chatd import cli, upgrade  # noqa: E402 - with that version
from chatd.store import sqlite  # noqa: E402


def begin(database):
    if planned == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif planned == "gate":
        print("at the gate", flush=True)
        plan.with_suffix(".gate").read_text()
    else:
        raise sqlite3.DatabaseError("planted")
    migrate(database)


migrate = sqlite.migrate
if planned in ("cannot read", "killed", "gate"):
    sqlite.migrate = begin
upgrade.READY_WITHIN = float(os.environ.get("IMPATIENT", upgrade.READY_WITHIN))
sys.exit(cli.main())
