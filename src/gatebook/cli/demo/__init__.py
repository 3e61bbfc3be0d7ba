"""The demo: real parts on loopback, a story played on them with unmodified clients, and a check of each thing it claims."""

from gatebook.cli.demo.command import demo

__all__ = ["demo"]
