"""The worker: takes a job from the queue, renders it with FFmpeg, publishes a verified file to storage."""
