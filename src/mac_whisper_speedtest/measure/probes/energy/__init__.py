"""Energy: counters that only rise, read before and after, and the arithmetic between."""
