"""Who is let in: token, origin, limits, wrong input. The three services share it."""
