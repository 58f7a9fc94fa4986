"""What is made of runs afterwards: comparisons, histories, leaderboards and timelines."""
