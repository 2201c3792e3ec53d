"""What a run will be, decided before it starts: configuration, workload, schedule, faults."""
