"""HTML pages: one file each, without any request, under a strict Content-Security-Policy."""
