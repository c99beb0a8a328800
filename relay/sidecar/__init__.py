"""The relay of a pod: containers that share a network namespace, where no program is wrapped."""
