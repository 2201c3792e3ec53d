"""Measurements that check the framework itself; they need an otherwise idle machine: `make verify`."""
