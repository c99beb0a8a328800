"""What is decided and made before the command starts: which door, certificates, trust."""
