"""What tests share: hosts and servers, the command, parts of the relay; none of it is a test."""
