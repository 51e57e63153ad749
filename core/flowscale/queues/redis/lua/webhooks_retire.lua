#!lua flags=allow-oom
-- Forget settled messages that are too old or too many.
--
-- KEYS  1  messages, by id      2  settled ones, by ms
-- ARGV  1  now in ms, or empty: this server's clock      2  ms for which one is kept      3  how many are kept at most
--       4  how many may go at once
-- Result how many went.
-- Guarantees: one that waits to be delivered stays.
local beyond = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
local old = redis.call('ZCOUNT', KEYS[2], '-inf', now - tonumber(ARGV[2]))
local going = math.min(math.max(beyond, old), tonumber(ARGV[4]))
if going <= 0 then return 0 end
local ids = redis.call('ZRANGE', KEYS[2], 0, going - 1)
redis.call('HDEL', KEYS[1], unpack(ids))
redis.call('ZREM', KEYS[2], unpack(ids))
return #ids
