#!lua flags=allow-oom
-- Forget an ended job with every key it owns.
--
-- KEYS  1..22 the job's keys      23  all job ids      24...  RQ's own keys of the job      the last three: beside the job
-- ARGV  1..5  now, job id, three channels
-- Result 1 when this call forgot it, else 0.
-- Guarantees: a job that is retried meanwhile stays; readers that wait for its events are told.
local state = get('state')
if state == 'queued' or state == 'delayed' or state == 'running' then return 0 end
if state and elsewhere() then return 0 end -- it is looked at again
local known = redis.call('ZREM', ENDED_DONE, ID) + redis.call('ZREM', ENDED_ERROR, ID)
redis.call('ZREM', FINISHED, ID)
redis.call('ZREM', FAILED, ID)
redis.call('ZREM', IN_DONE, ID)
redis.call('ZREM', IN_ERROR, ID)
redis.call('ZREM', KEYS[23], ID)
unfile()
redis.call('DEL', JOB, EVENTS, LOGS, FACTS, unpack(KEYS, 24, #KEYS - 3))
redis.call('PUBLISH', NEWS, ID)
return known > 0 and 1 or 0
