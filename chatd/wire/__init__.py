"""What travels: messages, their framing, errors and names. Shared by the daemon and its clients."""
