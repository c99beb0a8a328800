"""The networks that programs are played in."""
