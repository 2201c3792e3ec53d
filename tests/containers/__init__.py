"""Real containers: images, Compose, a Swarm of one node, and runs with engine=compose; traffic to 127.0.0.1 alone."""
