"""Bytes to messages and back, one module for each kind of client."""
