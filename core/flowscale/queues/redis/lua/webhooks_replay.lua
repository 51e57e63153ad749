#!lua
-- Deliver a message again from now on, because a person asked for it.
--
-- KEYS  1  messages, by id      2  settled ones, by ms      3  endpoints, by ms when one of theirs is due
--       4  the endpoint's messages, by ms when due
-- ARGV  1  now in ms, or empty: this server's clock      2  message id      3  the endpoint
-- Result the message, or false when there is none.
-- Guarantees: all its tries are before it again; a try that goes on meanwhile settles nothing. A full server refuses it
--        before its first write.
local read, message = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[2]) or '')
if not read or type(message) ~= 'table' then return false end
message.state, message.tries, message.since, message.next, message.claim = 'pending', 0, now, now, nil
local text = cjson.encode(message)
redis.call('HSET', KEYS[1], ARGV[2], text)
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[4], now, ARGV[2])
redis.call('ZADD', KEYS[3], 'LT', now, ARGV[3])
return text
