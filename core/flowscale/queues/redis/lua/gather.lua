#!lua flags=no-writes
-- Of a stretch of the index of words (or of ids), give the jobs that match.
--
-- KEYS  1  word NUL id, or ids, all scores 0      2  cards by job id      3  ids of the state that is meant      4  delayed
-- ARGV  1, 2  from where to where, as ZRANGEBYLEX takes it      3  entries of the stretch      4  which are meant: all,
--          only those that are `delayed`, or those that are `not delayed`
--       5...  what must begin the id or a line of the card
-- Result {the last entry of the stretch, or empty: there are no more, the ids that match, each ended by a line feed}.
-- Guarantees: writes nothing; one instant, and no more work than the stretch is long. A job may be given once for each of
--        its words.
local entries = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
if #entries == 0 then return { '', '' } end
local ids = {}
for at, entry in ipairs(entries) do ids[at] = string.match(entry, '%z(.*)$') or entry end
local cards = redis.call('HMGET', KEYS[2], unpack(ids))
local needles = {}
for at = 5, #ARGV do needles[at - 4] = { text = ARGV[at], line = '\n' .. ARGV[at], length = #ARGV[at] } end
local meant = ARGV[4]
if meant == 'not delayed' and redis.call('ZCARD', KEYS[4]) == 0 then meant = 'all' end
local found = {}
for at, id in ipairs(ids) do
    local matches = true
    for _, needle in ipairs(needles) do
        if not matches then break end
        matches = string.find(cards[at] or '', needle.line, 1, true) or string.sub(id, 1, needle.length) == needle.text
    end
    matches = matches and redis.call('ZSCORE', KEYS[3], id)
    if matches and meant ~= 'all' then
        matches = (redis.call('ZSCORE', KEYS[4], id) and 'delayed' or 'not delayed') == meant
    end
    if matches then found[#found + 1] = id .. '\n' end
end
return { #entries < tonumber(ARGV[3]) and '' or entries[#entries], table.concat(found) }
