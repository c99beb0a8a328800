"""The way out through a proxy: dialled as everything is, then asked for the destination."""
