#!lua
-- Queue a failed job again, because a person asked for it.
--
-- KEYS  1..22  the job's keys      23..25  the lines high, normal, low      26..28 beside the job
-- ARGV  1..5   now, job id, three channels      6  jobs that may wait at most      7  RQ's data of the job
-- Result {'missing'}; {'look'} when it was moved: call again; {'other', record, log} unless it ended in error; {'full'}; {'queued', record, log}.
-- Guarantees: a fresh set of attempts, at the tail of its line; what was tried stays recorded. A full server refuses it
--        before its first write.
local state = get('state')
if not state then return { 'missing' } end
local answer = 'queued'
if state ~= 'error' then
    answer = 'other'
elseif elsewhere() then
    return { 'look' }
else
    local waiting = redis.call('LLEN', KEYS[23]) + redis.call('LLEN', KEYS[24]) + redis.call('LLEN', KEYS[25])
    if waiting + redis.call('ZCARD', DELAYED) >= tonumber(ARGV[6]) then return { 'full' } end
    redis.call('ZREM', FAILED, ID)
    redis.call('ZREM', ENDED_ERROR, ID)
    unfile(true)
    redis.call('HSET', JOB, 'failures', 0, 'stalls', 0, 'data', ARGV[7]) -- RQ's tools may have rewritten it
    redis.call('HDEL', JOB, 'failure_code', 'failure_message', 'failure_retryable', 'exc_info', 'started_ms',
        'started_at', 'completed_ms', 'ended_at', 'cancel')
    enter('queued')
    join()
end
local now_is = record()
return { answer, now_is[1], now_is[2] }
