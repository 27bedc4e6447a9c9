"""From cluster objects and the registry to the catalog's entries."""
