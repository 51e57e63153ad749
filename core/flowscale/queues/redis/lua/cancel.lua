#!lua flags=allow-oom
-- End a waiting job, or ask the worker of a running one to stop.
--
-- KEYS  1..22 the job's keys      23... the outbox      the last three: beside the job
-- ARGV  1..5  now, job id, three channels      6, 7  code and message of a cancel
-- Result {'missing'}; {'look'} when it was moved: call again; {'over', record, log} when it had ended otherwise; {'asked', record, log}.
-- Guarantees: a cancel and a start never both get the job; asking again changes nothing.
local state = get('state')
if not state then return { 'missing' } end
local answer = 'asked'
if state == 'running' then
    redis.call('HSET', JOB, 'cancel', 1)
elseif state == 'queued' or state == 'delayed' then
    if elsewhere() then return { 'look' } end
    redis.call('LREM', LINE, 1, ID)
    redis.call('ZREM', DELAYED, ID)
    redis.call('ZREM', SCHEDULED, ID)
    redis.call('HSET', JOB, 'cancel', 1)
    end_in_error(ARGV[6], ARGV[7], '0')
elseif state == 'done' or get('failure_code') ~= ARGV[6] then
    answer = 'over'
end
local now_is = record()
return { answer, now_is[1], now_is[2] }
