#!lua flags=allow-oom
-- End an execution in failure: the job is delayed for another attempt, or ends.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7  code      8  message      9  1 if it may pass, else 0
--       10, 11 code and message of a cancel      12...  delay in ms before attempt 2, 3, ...
-- Result {'lost'} or {'ended', record, log}.
-- Guarantees: only the current execution fails, once; a cancel wins over another attempt; attempts are as many as delays
--        are given plus one.
if not holds(ARGV[6]) then
    count('fenced')
    return { 'lost' }
end
end_attempt(ARGV[7], ARGV[8])
local failures = redis.call('HINCRBY', JOB, 'failures', 1)
local delay = ARGV[11 + failures]
if ARGV[9] == '1' and get('cancel') then
    end_in_error(ARGV[10], ARGV[11], '0')
elseif ARGV[9] == '1' and delay then
    local due = now + tonumber(delay)
    redis.call('HSET', JOB, 'due_ms', digits(due))
    redis.call('ZADD', DELAYED, due, ID)
    redis.call('ZADD', SCHEDULED, string.format('%.3f', due / 1000), ID)
    count('retried:' .. ARGV[7])
    enter('delayed')
    redis.call('PUBLISH', WAKE, ID) -- whoever waits must learn when to wake
else
    end_in_error(ARGV[7], ARGV[8], ARGV[9])
end
local ended = record()
return { 'ended', ended[1], ended[2] }
