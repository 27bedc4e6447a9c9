"""The model catalog: mapped from cluster objects, merged, encoded once, served from memory."""
