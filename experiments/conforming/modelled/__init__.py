"""Proxies in virtual time, by which the instrument is measured: right ones, and ones with a bug that is known.

A real proxy cannot be had with a bug of one's choice, so that this is modelled, and nothing else: `proxy.py` decides by
a reference and leaves the stamps that a run leaves, `bugs.py` has what may be wrong with one, `measuring.py` counts how
often that is found, and how often a right one is accused.
"""
