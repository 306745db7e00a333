#!/usr/bin/env python3
"""`python3 client.py [HOST] [PORT] [NAME]`: chatsh, from a checkout."""

from scripts.launch import launch

launch("chatsh")
