#!lua flags=allow-oom
-- End a running job in success: from here on the output is the job's.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7  the output as JSON
-- Result {'lost'} or {'done', record, log}.
-- Guarantees: only the current execution commits, once; the same output again (its answer was lost) is answered alike.
if get('output') == ARGV[7] then
    local done = record()
    return { 'done', done[1], done[2] }
end
if not holds(ARGV[6]) then
    count('fenced')
    return { 'lost' }
end
local took = now - tonumber(get('execution_started_ms'))
redis.call('LPUSH', DURATIONS, digits(took))
redis.call('LTRIM', DURATIONS, 0, DURATIONS_KEPT - 1)
learn(took)
end_attempt()
redis.call('HSET', JOB, 'output', ARGV[7], 'progress', 100, 'completed_ms', digits(now), 'ended_at', iso(now))
redis.call('HDEL', JOB, 'failure_code', 'failure_message', 'failure_retryable', 'exc_info')
redis.call('ZADD', FINISHED, '+inf', ID)
redis.call('ZADD', ENDED_DONE, now, ID)
count_end('done')
enter('done')
local done = record()
return { 'done', done[1], done[2] }
