"""SSH in and out: asyncssh owns the sockets, relays say what passes."""
