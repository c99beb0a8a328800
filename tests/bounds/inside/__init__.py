"""What runs inside keepline: the floods of programs, and the bystander that must not suffer."""
