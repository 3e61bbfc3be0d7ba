"""Git: what is fetched and pushed, read into actions."""
