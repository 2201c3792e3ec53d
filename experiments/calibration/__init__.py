"""What this machine and its generator can do, measured; `python -m experiments.calibrate` is the command."""
