#!lua flags=allow-oom
-- Forget entries of a hash whose time has passed: idempotency keys, reports of silent workers.
--
-- KEYS  1  the hash      2  the time of each of its fields (ms)
-- ARGV  1  up to which time (ms)      2...  fields
-- Result how many were forgotten.
-- Guarantees: an entry that was renewed meanwhile stays.
local forgotten = 0
for index = 2, #ARGV do
    local time = redis.call('ZSCORE', KEYS[2], ARGV[index])
    if time and tonumber(time) <= tonumber(ARGV[1]) then
        redis.call('ZREM', KEYS[2], ARGV[index])
        redis.call('HDEL', KEYS[1], ARGV[index])
        forgotten = forgotten + 1
    end
end
return forgotten
