"""A way in where nothing may be intercepted: programs ask for connections as of a proxy."""
