#!lua flags=allow-oom
-- Hand out no jobs.
--
-- KEYS  1  RQ's suspension flag
-- ARGV  none
-- Result nothing.
-- Guarantees: a full server takes it too: to stop the work is what a person may do about that.
redis.call('SET', KEYS[1], 1)
