"""The web app: people sign in, decide what waits for them, look at sessions and end them."""
