"""Rules: given who, what and when, say allow, mask, approve or block."""
