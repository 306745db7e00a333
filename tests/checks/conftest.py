"""Checks at full size take their time."""

from programs import kit

kit.GIVE_UP = 7200  # seconds
