"""Turn a token into an Identity, or say why not."""
