"""Which proxy leads to a destination, and how it is named: URLs, NO_PROXY, variables; pure."""
