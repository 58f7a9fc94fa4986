"""Runs beside each other: comparisons, histories and leaderboards."""
