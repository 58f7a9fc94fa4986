"""What is kept: the index of runs, bundles, and looking after run directories."""
