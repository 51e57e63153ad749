#!lua flags=allow-oom
-- Keep what a running job's execution tells of its work, in place of what was told before.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7  what it tells, as JSON
-- Result {'lost'} or {'held'}.
-- Guarantees: only the current execution's counts.
if not holds(ARGV[6]) then return { 'lost' } end
redis.call('HSET', FACTS, 'told', ARGV[7])
return { 'held' }
