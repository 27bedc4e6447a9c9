"""The way in of what the gateway reports: batches, added to the store before they are answered."""
