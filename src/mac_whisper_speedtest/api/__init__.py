"""What the command line can do, from Python; docs/python-api.md has examples."""
