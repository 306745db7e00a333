"""Which scenarios are played against a cluster."""

from pathlib import Path

SCENARIOS = Path(__file__).parents[2] / "scenarios"
# What is about one process, or not about the server at all.
LEFT_OUT = {
    "startup/": "arguments, the port and the greeting of one process",
    "console/": "the terminal of one process",
    "operation/upgrade": "a process that takes over from one; a node of a cluster is replaced",
    "portable/client/": "the server is the scenario",
    "profiles/": "no scenarios",
    "faults/full_disk": "the disk of one process; the log is on those of NATS",
    "faults/own_error": "a fault planted in one process",
    "faults/server_fails": "the end of one process",
    "leaving/last_word": "the order of two who quit; on two nodes there is none, `bye` comes first",
    "leaving/shutdown": "a node that stops sends its people to another one",
    "logins/too_many_tries": "other nodes know of a wrong password a moment after its answer",
    "names/assigned_again": "each node remembers by itself who had which number",
    "wire/operators": "who stops the server stops one node",
}
# One or two of each kind, for every change: those where clients of several nodes meet.
TELLING = (
    "commands/newname.yaml",
    "dialogue/crowd.yaml",
    "dialogue/many_to_many.yaml",
    "dialogue/plain_sessions.yaml",
    "dialogue/three_clients.yaml",
    "faults/client_killed.yaml",
    "faults/resumed.yaml",
    "faults/server_restarted.yaml",
    "groups/absent_member.yaml",
    "groups/owner.yaml",
    "history/pages.yaml",
    "leaving/kicked.yaml",
    "logins/takeover.yaml",
    "names/second_terminal.yaml",
    "names/taken.yaml",
    "offline/queued.yaml",
    "offline/receipts.yaml",
    "offline/survives_kill.yaml",
    "wire/notices.yaml",
)


def applicable() -> list[str]:
    """Every scenario but those that are left out."""
    found = sorted(str(path.relative_to(SCENARIOS)) for path in SCENARIOS.rglob("*.yaml"))
    return [path for path in found if not path.startswith(tuple(LEFT_OUT))]
