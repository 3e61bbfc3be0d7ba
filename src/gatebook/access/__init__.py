"""Approvals that people give, and grants that expire."""
