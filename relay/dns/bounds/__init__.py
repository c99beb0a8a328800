"""What bounds names: by zone, so that who owns one harms no other, and carries little out."""
