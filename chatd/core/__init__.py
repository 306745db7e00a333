"""What the daemon decides: sessions, names, delivery. No socket, no clock, no disk."""
