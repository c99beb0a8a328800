"""The APIs whose answers the gateway understands: one file for each, behind one protocol."""
