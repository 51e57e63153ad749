#!lua flags=allow-oom
-- Note a wrong key from an address, or only look: how long until another may come.
--
-- KEYS  1  when all failures of each address are forgotten (ms)
-- ARGV  1  now in ms (empty: this server's clock)      2  address      3  ms that one failure costs
--       4  failures at once      5  addresses kept      6  1: note one
-- Result ms to wait; 0: another may come now, and if it was to be noted, it is.
-- Guarantees: one that has to wait is not noted, so that nobody waits longer for having come too early; at most so many
-- addresses are kept. Works in a server that is full: it takes no more than those.
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local cost = tonumber(ARGV[3])
local free = math.max(now, tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or now))
local wait = free - now - (tonumber(ARGV[4]) - 1) * cost
if wait > 0 then return wait end
if ARGV[6] == '1' then
    redis.call('ZADD', KEYS[1], string.format('%.0f', free + cost), ARGV[2])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[5]) - 1)
end
return 0
