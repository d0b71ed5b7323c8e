"""Finished runs as one page that needs nothing else: `material` reads, `html` writes."""
