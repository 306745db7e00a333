#!/usr/bin/env python3
"""`python3 server.py [PORT] [PASSWORD_FILE]`: chatd, from a checkout."""

from scripts.launch import launch

launch("chatd")
