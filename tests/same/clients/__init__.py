"""Programs of our own: each asks the kernel, or a runtime, for one thing; they run as commands."""
