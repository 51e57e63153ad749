#!lua
-- The secret of the seals.
--
-- KEYS  1  where it is kept
-- ARGV  1  a fresh one, in hex
-- Result the one that is kept.
-- Guarantees: of several gateways that start at once, the first one's stays, and all are given it.
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
