"""The index of runs, and maintenance of run directories."""
