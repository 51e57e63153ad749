#!lua flags=no-writes
-- Look through a stretch of jobs, newest first, for those that match.
--
-- KEYS  1  ids, all scores 0      2  cards by job id      3  delayed
-- ARGV  1  where to begin, as ZREVRANGEBYLEX takes it      2  ids of the stretch      3  which are meant: all, only
--          those that are `delayed`, or those that are `not delayed`
--       4  ids that are listed at most      5  an id that those listed are older than, or empty      6...  what must begin
--          the id or a line of the card
-- Result {how many match, the last id of the stretch, or empty: there are no more, ids of the first that match}.
-- Guarantees: writes nothing; one instant, and no more work than the stretch is long.
local ids = redis.call('ZREVRANGEBYLEX', KEYS[1], ARGV[1], '-', 'LIMIT', 0, ARGV[2])
if #ids == 0 then return { 0, '', {} } end
local cards = #ARGV > 5 and redis.call('HMGET', KEYS[2], unpack(ids))
local needles = {}
for at = 6, #ARGV do needles[at - 5] = { text = ARGV[at], line = '\n' .. ARGV[at], length = #ARGV[at] } end
local meant, most, older = ARGV[3], tonumber(ARGV[4]), ARGV[5]
if meant == 'not delayed' and redis.call('ZCARD', KEYS[3]) == 0 then meant = 'all' end
local count, listed = 0, {}
for at, id in ipairs(ids) do
    local matches = meant == 'all' or (redis.call('ZSCORE', KEYS[3], id) and 'delayed' or 'not delayed') == meant
    for _, needle in ipairs(needles) do
        if not matches then break end
        matches = string.find(cards[at] or '', needle.line, 1, true) or string.sub(id, 1, needle.length) == needle.text
    end
    if matches then
        count = count + 1
        if #listed < most and (older == '' or id < older) then listed[#listed + 1] = id end
    end
end
return { count, #ids < tonumber(ARGV[2]) and '' or ids[#ids], listed }
