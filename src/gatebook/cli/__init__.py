"""The ``gatebook`` command."""
