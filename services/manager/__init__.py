"""The manager: watches the router, decides a number of replicas, asks an engine for it."""
