#!lua flags=allow-oom
-- Forget a key.
--
-- KEYS  1  the keys by id
-- ARGV  1  the key's id
-- Result its record; nil when there is none.
-- Guarantees: of several that revoke it, one is given the record. Works in a server that is full.
local record = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return record
