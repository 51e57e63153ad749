#!lua flags=allow-oom
-- Take the sample of a minute that has begun (history.py).
--
-- KEYS  1  samples, oldest first      2  counters      3..5  the lines high, normal, low      6  delayed      7  leases
-- ARGV  1  now      2  samples that are kept
-- Result 1 when this call took it, else 0: somebody had.
-- Guarantees: however many try, one sample for each minute. After a clock was set back it begins anew.
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local minute = math.floor(now / 60000)
local last = tonumber(string.match(redis.call('LINDEX', KEYS[1], -1) or '', '^%d+'))
if last and last == minute then return 0 end
if last and last > minute then redis.call('DEL', KEYS[1]) end
local counted = redis.call('HMGET', KEYS[2], 'enqueued', 'ended:done', 'ended:error')
local waiting = redis.call('LLEN', KEYS[3]) + redis.call('LLEN', KEYS[4]) + redis.call('LLEN', KEYS[5])
    + redis.call('ZCARD', KEYS[6])
redis.call('RPUSH', KEYS[1], table.concat({
    string.format('%.0f', minute), counted[1] or 0, counted[2] or 0, counted[3] or 0, waiting, redis.call('ZCARD', KEYS[7]),
}, ' '))
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
return 1
