"""`/set`: the settings shown, explained and changed, for the present and for later."""

from __future__ import annotations

from rich.text import Text

from chatd.wire.text import harmless
from chatsh import render
from chatsh.grammar import Setting
from chatsh.settings import (
    DEFAULTS,
    NAMES,
    Settings,
    SettingsError,
    change,
    fields,
    keep,
    setting,
    settings_file,
    shown,
)

NOTHING = "nothing"  # in place of a value without words
LONGEST = 14  # characters of a value in the table


def answer(settings: Settings, wanted: Setting) -> tuple[Settings, Text]:
    """The settings after the command, and what is to be told."""
    if not wanted.name:
        return settings, table(settings)
    try:
        if not wanted.value:
            return settings, explained(settings, wanted.name)
        settings = change(settings, wanted.name, wanted.value)
    except SettingsError as error:
        return settings, render.complaint(f"Not set: {error}")
    return settings, _kept(settings, wanted.name)


def _kept(settings: Settings, name: str) -> Text:
    return kept(settings, name, f"{name} is {_value(settings, name)} now.")


def kept(settings: Settings, name: str, now: str) -> Text:
    """Keep one setting; what holds now, and what went wrong with keeping it."""
    try:
        keep(settings, name)
    except SettingsError as error:
        return render.complaint(f"{now} It cannot be kept for the next time: {error}")
    return render.notice(now)


def table(settings: Settings) -> Text:
    """Every setting in a row: its name, its value, its default and what it does."""
    rows = [("name", "value", "default", "what it does")]
    rows += [
        (name, _value(settings, name), _value(DEFAULTS, name), fields(Settings)[name].does)
        for name in NAMES
    ]
    short = [[*map(_cut, row[:3]), row[3]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*short, strict=True)]
    lines = [
        "  ".join(f"{one:<{width}}" for one, width in zip(row, widths, strict=True)).rstrip()
        for row in short
    ]
    return Text("\n".join([*lines, harmless(f"They are kept in {settings_file()}.")]))


def explained(settings: Settings, name: str) -> Text:
    """One setting, with everything it can be. Raises `SettingsError`."""
    field = setting(name)
    now = f"It is {_value(settings, name)}; the default is {_value(DEFAULTS, name)}."
    return Text(f"{name}: {field.does}\n{now}\n/set {name} takes {field.typed}, or default.")


def _value(settings: Settings, name: str) -> str:
    return harmless(shown(getattr(settings, name))) or NOTHING


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
