#!lua flags=allow-oom
-- Forget that a job may have stored outputs that it does not name.
--
-- KEYS  1  ids of jobs that lost an execution, by ms
-- ARGV  1  job id      2  when it was noted (ms)
-- Result how many were forgotten.
-- Guarantees: a job that lost another execution meanwhile stays noted.
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
