"""The page's addresses, one file a view. Nothing is decided here: the services of the API answer."""
