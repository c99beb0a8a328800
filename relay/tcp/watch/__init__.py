"""How dead upstream connections are found, and living ones held."""
