#!lua flags=allow-oom
-- Take grants of drain.lua back, and wake the workers that were held up by them.
--
-- KEYS  1  until when groups are draining: ms by group
-- ARGV  1  the channel of wake-ups      2...  groups
-- Result how many had a grant.
-- Guarantees: one wake-up for all, and none when nobody was held up.
local taken = 0
for index = 2, #ARGV do taken = taken + redis.call('HDEL', KEYS[1], ARGV[index]) end
if taken > 0 then redis.call('PUBLISH', ARGV[1], '') end
return taken
