#!lua flags=allow-oom
-- End a running job in success: from here on the output is the job's.
--
-- KEYS  1..20 the job's keys
-- ARGV  1..4  now, job id, two channels      5  execution id      6  the output as JSON
-- Result {'lost'} or {'done', record, log}.
-- Guarantees: only the current execution commits, once; the same output again (its answer was lost) is answered alike.
if get('output') == ARGV[6] then
    local done = record()
    return { 'done', done[1], done[2] }
end
if not holds(ARGV[5]) then
    count('fenced')
    return { 'lost' }
end
redis.call('LPUSH', DURATIONS, digits(now - tonumber(get('execution_started_ms'))))
redis.call('LTRIM', DURATIONS, 0, DURATIONS_KEPT - 1)
end_attempt()
redis.call('HSET', JOB, 'output', ARGV[6], 'progress', 100, 'completed_ms', digits(now), 'ended_at', iso(now))
redis.call('HDEL', JOB, 'failure_code', 'failure_message', 'failure_retryable', 'exc_info')
redis.call('ZADD', FINISHED, '+inf', ID)
redis.call('ZADD', ENDED_DONE, now, ID)
count_end('done')
enter('done')
local done = record()
return { 'done', done[1], done[2] }
