#!lua flags=allow-oom
-- Queue a retry whose time has come.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels
-- Result 1 when this call queued it, else 0.
-- Guarantees: however many try, one does; it goes to the tail of its line.
local due = redis.call('ZSCORE', DELAYED, ID)
if not due or tonumber(due) > now then return 0 end
if get('state') == 'delayed' and elsewhere() then return 0 end -- it is due still, and looked at again
redis.call('ZREM', DELAYED, ID)
redis.call('ZREM', SCHEDULED, ID)
if get('state') ~= 'delayed' then return 0 end -- forged, or its record is gone
redis.call('HDEL', JOB, 'due_ms')
join()
enter('queued')
return 1
