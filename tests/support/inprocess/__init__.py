"""Parts of the relay in the test's own process, over loopback, and what stands around them."""
