#!lua flags=no-writes
-- How many jobs are in each state that is not final.
--
-- KEYS  1..3  the lines high, normal, low      4  delayed      5  leases
-- ARGV  1  now
-- Result {waiting, due, delayed, running, when the next retry is due or empty, now}.
-- Guarantees: writes nothing, runs no clean-up; one instant.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end
local waiting = redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3])
local due = redis.call('ZCOUNT', KEYS[4], '-inf', now)
return {
    waiting, due, redis.call('ZCARD', KEYS[4]) - due, redis.call('ZCARD', KEYS[5]),
    redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2] or '', now,
}
