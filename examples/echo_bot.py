"""A bot that says every direct message back to its sender: `python examples/echo_bot.py HOST PORT`.

It needs no terminal and no thread: a `Link` gives the events, one after the other.
"""

from __future__ import annotations

import argparse
import sys

from chatd.wire.messages import SERVER, Bye, Incoming, Outgoing
from chatsh.client import Client
from chatsh.link import Address, Link, LinkError, LoginRefusedError


def echo(link: Link) -> str:
    """Answer until the connection ends; the reason why it did."""
    for event in link.events():
        if isinstance(event, Incoming) and event.sender != SERVER:
            link.send(Outgoing(event.sender, event.content))
        elif isinstance(event, Bye):
            return event.text
    return "The connection was lost."


def run(host: str, port: int, name: str) -> str:
    """Log in and echo; what to say at the end."""
    try:
        with Link(Address(host, port), Client(name, program="echo_bot")) as link:
            link.open()
            print(f"{link.client.name} is listening", flush=True)
            return echo(link)
    except (LinkError, LoginRefusedError) as error:
        return str(error)
    except KeyboardInterrupt:
        return "Stopped."


def main() -> str:
    """Run the bot with the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Says every direct message back to its sender.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("name", nargs="?", default="echo")
    given = parser.parse_args()
    return run(given.host, given.port, given.name)


if __name__ == "__main__":
    sys.exit(main())
