#!lua flags=allow-oom
-- Mark groups of workers as draining that hold no execution in this instant: whoever was granted may remove them.
--
-- KEYS  1  leases: job id by ms      2  notes of the jobs that wait or run      3  until when groups are draining: ms by group
--       4...  records of running jobs without a note
-- ARGV  1  now      2  ms for which the grant holds      3  how many groups      4...  the groups
--       then  ids of the jobs of those records, in their order
-- Result {'granted', groups}; {'look', job ids} when there are running jobs whose group only their records tell: call again
--        with these.
-- Guarantees: exactly the groups that hold no execution are granted, and from then on start.lua gives them none until the
--        grant ends. A lease that ran out and was not reaped counts, and a start whose answer was lost. A job that was
--        started before there were groups belongs to the group of its worker's name.
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local groups = tonumber(ARGV[3])
local records = {}
for index = 4, #KEYS do records[ARGV[index + groups]] = KEYS[index] end

local busy, unknown = {}, {}
local leased = redis.call('ZRANGE', KEYS[1], 0, -1)
for first = 1, #leased, 1000 do -- `unpack` takes no more than some thousands
    local last = math.min(first + 999, #leased)
    for at, note in ipairs(redis.call('HMGET', KEYS[2], unpack(leased, first, last))) do
        local id = leased[first + at - 1]
        local group = note and string.match(note, '^%d+ %S* (.+)$')
        if group then
            busy[group] = true
        elseif not records[id] then
            unknown[#unknown + 1] = id
        else
            local worker = redis.pcall('HGET', records[id], 'worker')
            if type(worker) == 'string' then busy[worker] = true end
        end
    end
end
if #unknown > 0 then return { 'look', unknown } end

local kept = redis.call('HGETALL', KEYS[3])
for index = 1, #kept, 2 do
    if tonumber(kept[index + 1]) <= now then redis.call('HDEL', KEYS[3], kept[index]) end
end
local granted = {}
for index = 4, 3 + groups do
    local group = ARGV[index]
    if not busy[group] then
        redis.call('HSET', KEYS[3], group, string.format('%.0f', now + tonumber(ARGV[2])))
        granted[#granted + 1] = group
    end
end
return { 'granted', granted }
