"""From many runs to a verdict: pairs of arms, effects with intervals, families, texts. It draws nothing."""
