"""SSH: what its channels ask for, decided, and what passes through them, covered. The library in ``gateway/ssh`` speaks it."""
