"""Connections whose SYN is held until their destination is reached, or not."""
