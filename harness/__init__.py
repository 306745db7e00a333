"""Replays whole conversations between real programs, from scenario files."""
