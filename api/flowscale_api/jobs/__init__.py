"""From requests to queued jobs, and from job records to answers."""
