"""A chat daemon on one select-style loop, with a log that keeps what it acknowledged."""

__version__ = "0.1.0"
