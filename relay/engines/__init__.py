"""`keepline podman run` and `keepline docker run`: containers whose only way out is a session."""
