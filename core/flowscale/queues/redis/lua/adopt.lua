#!lua flags=allow-oom
-- Put a job back into its line that waits by its record and stands in no line: RQ's own tools took it out.
--
-- KEYS  1..22 the job's keys      23  all job ids      24..26 beside the job
-- ARGV  1..5  now, job id, three channels      6  RQ's data of the job
-- Result 1 when this call did something, else 0.
-- Guarantees: a job that stands in its line, runs, is delayed or has ended is left alone. What is left of a job whose
--        record is gone goes too.
if not get('v') then
    for _, index in pairs(INDEX) do redis.call('ZREM', index, ID) end
    redis.call('ZREM', KEYS[23], ID)
    redis.call('HDEL', LIVE, ID)
    redis.call('DEL', EVENTS, LOGS, FACTS)
    unfile()
    return 1
end
if get('state') ~= 'queued' or elsewhere() or redis.call('LPOS', LINE, ID) then return 0 end
redis.call('HSET', JOB, 'data', ARGV[6], 'status', 'queued')
redis.call('ZREM', FAILED, ID)
join()
count('adopted')
return 1
