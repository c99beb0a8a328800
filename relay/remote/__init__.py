"""A relay outside of a sealed container, to which the container's sockets come by a UNIX socket."""
