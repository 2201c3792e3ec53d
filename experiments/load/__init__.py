"""The generator: Locust on the schedule, one or more processes, on this machine or on others."""
