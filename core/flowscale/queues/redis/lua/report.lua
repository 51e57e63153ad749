#!lua flags=allow-oom
-- Keep what a worker says of itself, and when it came by this server's clock.
--
-- KEYS  1  reports: by worker      2  when each came (ms)
-- ARGV  1  now      2  worker      3  how many renders it can do at once, a space, the report as JSON
-- Result 1.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[2])
return 1
