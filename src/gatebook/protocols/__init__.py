"""One folder per wire protocol: bytes in, actions and bytes out, no I/O."""
