#!lua flags=allow-oom
-- Set a job aside whose record turned out to be unreadable after it was started.
--
-- KEYS  1..22 the job's keys      23  entries set aside: id by ms      24  all job ids      25..27 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7  entries that are kept at most      8  s for which the record stays
-- Result 1 when this call did it, else 0.
-- Guarantees: it is in no line, index or lease any more, and counted once; its record stays for a while to be looked at.
if get('execution') ~= ARGV[6] then return 0 end
let_go()
for _, index in pairs(INDEX) do redis.call('ZREM', index, ID) end
redis.call('ZREM', KEYS[24], ID)
unfile()
for _, key in ipairs({ JOB, EVENTS, LOGS, FACTS }) do redis.call('EXPIRE', key, ARGV[8]) end
redis.call('HSET', JOB, 'state', 'aside')
redis.call('ZADD', KEYS[23], now, ID)
redis.call('ZREMRANGEBYRANK', KEYS[23], 0, -1 - tonumber(ARGV[7]))
count('refused')
return 1
