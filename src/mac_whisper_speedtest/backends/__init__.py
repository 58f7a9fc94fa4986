"""What can be measured: the adapter interface, the registry, and one file per backend."""
