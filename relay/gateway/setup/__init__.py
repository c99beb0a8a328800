"""What is decided and made before the command starts: which way in, certificates, trust."""
