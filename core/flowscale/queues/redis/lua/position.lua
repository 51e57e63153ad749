#!lua flags=no-writes
-- Where a job waits.
--
-- KEYS  1..22  the job's keys      23  all job ids      24..26  the lines high, normal, low      27..29 beside the job
-- ARGV  1..5   now, job id, three channels      6  1, 2 or 3: which of the three lines is the job's
-- Result -1: no such job; 0: it does not wait; else its position from 1 under strict priorities. Delayed jobs come after
--        all that wait, by due time.
local state = get('state')
if not state then return -1 end
local ahead = 0
if state == 'queued' then
    for line = 1, tonumber(ARGV[6]) - 1 do ahead = ahead + redis.call('LLEN', KEYS[23 + line]) end
    -- From the nearer end: so many joined after it, in any line. Listings ask for the newest.
    local later = tonumber(redis.call('GET', JOINED) or 0) - tonumber(get('joined') or 0)
    local index = redis.call('LPOS', LINE, ID, 'RANK', later < redis.call('LLEN', LINE) / 2 and -1 or 1)
    return index and ahead + index + 1 or 0
elseif state == 'delayed' then
    for line = 1, 3 do ahead = ahead + redis.call('LLEN', KEYS[23 + line]) end
    local rank = redis.call('ZRANK', DELAYED, ID)
    return rank and ahead + rank + 1 or 0
end
return 0
