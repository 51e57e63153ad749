#!lua flags=allow-oom
-- End an execution in failure: the job is delayed for another attempt, or ends.
--
-- KEYS  1..20 the job's keys
-- ARGV  1..4  now, job id, two channels      5  execution id      6  code      7  message      8  1 if it may pass, else 0
--       9, 10 code and message of a cancel      11...  delay in ms before attempt 2, 3, ...
-- Result {'lost'} or {'ended', record, log}.
-- Guarantees: only the current execution fails, once; a cancel wins over another attempt; attempts are as many as delays
--        are given plus one.
if not holds(ARGV[5]) then
    count('fenced')
    return { 'lost' }
end
end_attempt(ARGV[6], ARGV[7])
local failures = redis.call('HINCRBY', JOB, 'failures', 1)
local delay = ARGV[10 + failures]
if ARGV[8] == '1' and get('cancel') then
    end_in_error(ARGV[9], ARGV[10], '0')
elseif ARGV[8] == '1' and delay then
    local due = now + tonumber(delay)
    redis.call('HSET', JOB, 'due_ms', digits(due))
    redis.call('ZADD', DELAYED, due, ID)
    redis.call('ZADD', SCHEDULED, string.format('%.3f', due / 1000), ID)
    count('retried:' .. ARGV[6])
    enter('delayed')
    redis.call('PUBLISH', WAKE, ID) -- whoever waits must learn when to wake
else
    end_in_error(ARGV[6], ARGV[7], ARGV[8])
end
local ended = record()
return { 'ended', ended[1], ended[2] }
