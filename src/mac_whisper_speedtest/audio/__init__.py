"""Audio in: files, datasets, web addresses, microphone and built-in clips as 16 kHz mono."""
