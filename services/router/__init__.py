"""The router: a data plane that proxies, and an admin API. Balancing policies live in policies/, one a file."""

from services import compiled

compiled.install()
