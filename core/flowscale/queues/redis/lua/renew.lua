#!lua flags=allow-oom
-- Extend the lease of a running job.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7  lease ms
-- Result {'lost'}, or {'held', 1 if a cancel was asked for, else 0}.
-- Guarantees: only the current execution extends it; one that ran out is taken back unless it was reaped.
if not holds(ARGV[6]) then return { 'lost' } end
redis.call('ZADD', LEASES, now + tonumber(ARGV[7]), ID)
redis.call('HSET', JOB, 'last_heartbeat', iso(now))
return { 'held', redis.call('HEXISTS', JOB, 'cancel') }
