"""Many runs: jobs, their order, going on with them, their end."""
