"""Gatebook: an access gateway for agents, people and CI jobs that keeps the book."""

__version__ = "0.1.0"
