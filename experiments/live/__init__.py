"""Real processes and containers: how they start, are measured, hurt and ended."""
