#!lua flags=allow-oom
-- Set a job aside whose record turned out to be unreadable after it was started.
--
-- KEYS  1..20 the job's keys      21  entries set aside: id by ms      22  all job ids
-- ARGV  1..4  now, job id, two channels      5  execution id      6  entries that are kept at most      7  s for which the record stays
-- Result 1 when this call did it, else 0.
-- Guarantees: it is in no line, index or lease any more, and counted once; its record stays for a while to be looked at.
if get('execution') ~= ARGV[5] then return 0 end
let_go()
for _, index in pairs(INDEX) do redis.call('ZREM', index, ID) end
redis.call('ZREM', KEYS[22], ID)
for _, key in ipairs({ JOB, EVENTS, LOGS }) do redis.call('EXPIRE', key, ARGV[7]) end
redis.call('HSET', JOB, 'state', 'aside')
redis.call('ZADD', KEYS[21], now, ID)
redis.call('ZREMRANGEBYRANK', KEYS[21], 0, -1 - tonumber(ARGV[6]))
count('refused')
return 1
