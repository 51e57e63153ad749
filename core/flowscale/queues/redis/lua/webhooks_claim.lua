#!lua flags=allow-oom
-- Claim due messages of one endpoint for a while.
--
-- KEYS  1  messages, by id      2  endpoints, by ms when one of theirs is due      3  the endpoint's messages, by ms when due
--       4  figures
-- ARGV  1  now in ms, or empty: this server's clock      2  the endpoint      3  how many at most      4  ms of a claim
--       5  the claim's token
-- Result {now, id, message, id, message, ...}, those longest due first.
-- Guarantees: nobody else is given them until the claim ends. What is no message of ours is removed, and so is one that
--        was tried more often than any is: nobody could read it.
local MOST_TRIES = 100
local function is_ours(message)
    return type(message) == 'table' and message.state == 'pending' and type(message.tries) == 'number'
        and message.tries < MOST_TRIES
end
local claimed = { digits(now) }
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[3])) do
    local read, message = pcall(cjson.decode, redis.call('HGET', KEYS[1], id) or '')
    if read and is_ours(message) then
        message.tries, message.tried, message.claim = message.tries + 1, now, ARGV[5]
        local text = cjson.encode(message)
        redis.call('HSET', KEYS[1], id, text)
        redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), id)
        redis.call('HINCRBY', KEYS[4], 'webhook:tried', 1)
        claimed[#claimed + 1], claimed[#claimed + 2] = id, text
    else
        redis.call('ZREM', KEYS[3], id)
        redis.call('HDEL', KEYS[1], id)
    end
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if first[2] then redis.call('ZADD', KEYS[2], first[2], ARGV[2]) else redis.call('ZREM', KEYS[2], ARGV[2]) end
return claimed
