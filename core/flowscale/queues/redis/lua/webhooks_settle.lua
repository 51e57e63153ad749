#!lua flags=allow-oom
-- Say what came of a claimed message.
--
-- KEYS  1  messages, by id      2  settled ones, by ms      3  endpoints, by ms when one of theirs is due
--       4  the endpoint's messages, by ms when due      5  figures
-- ARGV  1  now in ms, or empty: this server's clock      2  message id      3  the endpoint      4  the claim's token
--       5  pending, delivered or failed      6  ms until the next try, of a pending one      7  1 if the try counts, else 0
--       8  HTTP status or empty      9  fault or empty      10  how the answer began
-- Result 1, or 0 when the claim is this caller's no more, and nothing was changed.
-- Guarantees: one claim settles a message, once.
local read, message = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[2]) or '')
if not read or type(message) ~= 'table' or message.claim ~= ARGV[4] or message.state ~= 'pending' then return 0 end
message.claim = nil
if ARGV[7] == '1' then
    message.status, message.fault, message.answer = tonumber(ARGV[8]), ARGV[9] ~= '' and ARGV[9] or nil, ARGV[10]
else
    message.tries = message.tries - 1
end
message.state = ARGV[5]
if ARGV[5] == 'pending' then
    message.next = now + tonumber(ARGV[6])
    redis.call('ZADD', KEYS[4], message.next, ARGV[2])
else
    message.next = nil
    redis.call('ZREM', KEYS[4], ARGV[2])
    redis.call('ZADD', KEYS[2], now, ARGV[2])
    redis.call('HINCRBY', KEYS[5], 'webhook:' .. ARGV[5], 1)
end
redis.call('HSET', KEYS[1], ARGV[2], cjson.encode(message))
local first = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
if first[2] then redis.call('ZADD', KEYS[3], first[2], ARGV[3]) else redis.call('ZREM', KEYS[3], ARGV[3]) end
return 1
