#!lua flags=no-writes
-- Which endpoints have a message that is due.
--
-- KEYS  1  endpoints, by ms when one of theirs is due
-- ARGV  1  now in ms, or empty: this server's clock      2  how many at most
-- Result {now, name, ms, name, ms, ...}, those longest due first.
-- Guarantees: writes nothing.
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return { digits(now), unpack(found) }
