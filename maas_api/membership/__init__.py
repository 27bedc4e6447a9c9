"""Who is in which group now, and who has left: keys follow their owners."""
