"""A replica: simulated work in slots behind a FIFO queue, with faults to order."""
