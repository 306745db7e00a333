"""A person's settings: a TOML file, its types and its defaults.

For example:

times = "each"
mute = ["team"]

[servers.work]          # `chatsh work`
host = "chat.example.org"
port = 8000
name = "ana"
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import platformdirs
from msgspec import Meta

Seconds = Annotated[int, Meta(ge=0, le=86_400)]
Count = Annotated[int, Meta(ge=0, le=100_000)]


class SettingsError(Exception):
    """The settings cannot be used; the text is one sentence that says where and why."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go and as whom, under a word of one's own."""

    host: str = ""  # the empty one is this machine
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8000
    name: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set, with what holds where nothing is."""

    times: Literal["gaps", "each", "off"] = "gaps"  # when it was said: after a gap, on each line
    fold: Count = 12  # rows of a long text that are shown; 0: all of them
    theme: str = "plain"
    notify: Literal["off", "bell", "osc9", "osc777", "desktop"] = "bell"
    dnd: bool = False  # do not disturb: no notice at all
    idle: Seconds = 120  # without a key, until nobody is believed to look
    mute: tuple[str, ...] = ()  # people and groups that never call
    mentions: tuple[str, ...] = ()  # words that call as one's own name does
    history: Count = 1000  # typed lines that are kept; 0: none
    log: Literal["off", "text", "json"] = "off"  # a file for each conversation
    servers: dict[str, Server] = {}


def settings_file() -> Path:
    """Where they are."""
    return platformdirs.user_config_path("chatsh") / "chatsh.toml"


def load(path: Path | None = None) -> Settings:
    """What the file says; the defaults where there is none. Raises `SettingsError`."""
    path = path or settings_file()
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeError, msgspec.MsgspecError) as error:
        raise SettingsError(f"{path}: {error}") from error
