"""The auditor's package: what the book shows about a period, with the means to check it without Gatebook."""
