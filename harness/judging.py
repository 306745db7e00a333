"""Whether a scenario applies to the programs that are given, and which of them it is played with.

A scenario that judges a server is no judgement of a client, and the other way round: it is played
when its program is given, or none is. One that judges a client has the profile's own server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from harness.language import Scenario

if TYPE_CHECKING:
    from harness.run import Options


def why_not(scenario: Scenario, options: Options) -> str:
    """Why a scenario does not apply; empty if it does."""
    if missing := scenario.lacks():
        return f"profile {scenario.profile.name} cannot {', '.join(missing)}"
    server, client = bool(options.server or options.at), bool(options.client)
    if scenario.judges == "server" and client and not server:
        return "it judges a server, and a client was given"
    if scenario.judges == "client" and server and not client:
        return "it judges a client, and a server was given"
    return ""


def options_for(scenario: Scenario, options: Options) -> Options:
    """The programs that a scenario is played with: around the judged one everything is right."""
    if scenario.judges == "client":
        return structs.replace(options, server=None, at=None)
    return structs.replace(options, client=None) if scenario.judges == "server" else options
