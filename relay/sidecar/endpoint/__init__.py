"""What a pod's relay is asked over HTTP: whether it is ready, whether it lives, its metrics."""
