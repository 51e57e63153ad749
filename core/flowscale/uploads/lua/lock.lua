#!lua flags=allow-oom
-- Take the lock of an open upload; of a settled one, only read it.
--
-- ARGV  3  lease ms      4  1: whoever holds it
-- Result {'held', record}; {'none'}; {'locked'}.
-- Guarantees: one holder at a time. Whoever is refused is noted, for the holder to see when it renews.
if not alive() then return { 'none' } end
if get('state') ~= 'open' then return { 'held', record() } end
local holder = get('token')
if holder and holder ~= TOKEN and tonumber(get('locked_until_ms')) > now and ARGV[4] ~= '1' then
    redis.call('HSET', UPLOAD, 'wanted', 1)
    return { 'locked' }
end
lease(ARGV[3])
redis.call('HDEL', UPLOAD, 'wanted')
return { 'held', record() }
