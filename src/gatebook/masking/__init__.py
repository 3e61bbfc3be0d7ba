"""Find sensitive values and cover them."""
