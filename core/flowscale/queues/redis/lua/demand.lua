#!lua flags=no-writes
-- How much there is to do, and who does it: what the number of workers is decided from.
--
-- KEYS  1  RQ's suspension flag      2..4  the lines high, normal, low      5  delayed      6  leases
--       7  notes of the jobs that wait or run      8  until when groups are draining: ms by group
--       9  reports of workers      10  when each came (ms)      11  what was learned of each profile
-- ARGV  1  now      2  waiting jobs that are told one by one
-- Result {now, paused, waiting, due, delayed, when the next retry is due or empty, notes of the heads of the lines, notes of
--        the first jobs that wait, ids of the jobs that run, their notes, groups that are draining and until when, reports,
--        when each came, profiles and what was learned}. A note that is not there is nil. Those of the jobs that wait are
--        one text, each ended by a line feed: hundreds of answers would be dear to read.
-- Guarantees: writes nothing; one instant.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end

local function notes(ids)
    local found = {}
    for first = 1, #ids, 1000 do -- `unpack` takes no more than some thousands
        for _, note in ipairs(redis.call('HMGET', KEYS[7], unpack(ids, first, math.min(first + 999, #ids)))) do
            found[#found + 1] = note
        end
    end
    return found
end

local waiting, heads, line = 0, {}, {}
for index = 2, 4 do
    waiting = waiting + redis.call('LLEN', KEYS[index])
    local left = tonumber(ARGV[2]) - #line
    local first = redis.call('LRANGE', KEYS[index], 0, math.max(0, left - 1))
    heads[#heads + 1] = first[1]
    if left > 0 then
        for _, id in ipairs(first) do line[#line + 1] = id end
    end
end
local told = {}
for at, note in ipairs(notes(line)) do told[at] = (note or '') .. '\n' end
local due = redis.call('ZCOUNT', KEYS[5], '-inf', now)
local running = redis.call('ZRANGE', KEYS[6], 0, -1)
return {
    now, redis.call('EXISTS', KEYS[1]), waiting, due, redis.call('ZCARD', KEYS[5]) - due,
    redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2] or '', notes(heads), table.concat(told), running, notes(running),
    redis.call('HGETALL', KEYS[8]), redis.call('HGETALL', KEYS[9]), redis.call('ZRANGE', KEYS[10], 0, -1, 'WITHSCORES'),
    redis.call('HGETALL', KEYS[11]),
}
