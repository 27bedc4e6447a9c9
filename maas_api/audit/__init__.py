"""Who did what to which keys: written in the transaction of the change, read by admins."""
