"""What surrounds a run: clocks, progress, signals, the guardian that clears up after a killed one."""
