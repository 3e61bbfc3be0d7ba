"""HTTP clients and targets: sockets, sessions, and the relay of each request carried out."""
