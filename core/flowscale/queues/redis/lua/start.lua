#!lua flags=allow-oom
-- Take the next job, make its execution and its lease, and mark it running.
--
-- KEYS  1..22  the job's keys, of any candidate (the chosen one's take their place)
--       23..25 the lines high, normal, low      26..28 RQ's registries of started jobs, likewise
--       29     how many jobs were handed out      30  entries set aside: id by ms
--       31     RQ's suspension flag      32  until when groups are draining: ms by group
--       33...  record, events, log and facts of each candidate      the last three: beside the job
-- ARGV  1..5   now, job id, three channels
--       6      execution id     7  worker     8  lease ms     9  fairness: every so many turns are the longest wait's
--       10     largest spec in bytes      11  entries set aside that are kept at most
--       12     s for which the record of such an entry stays to be looked at
--       13     the worker's group
--       14...  id and RQ data of each candidate
-- Result {'started', record, log}; {'none'} when no job waits, all are held up, or the group is draining; {'look'} when the next job is no candidate, or was no job
--        of ours that waits: look again; {'aside', id} when what was next is nothing of ours.
-- Guarantees: the id leaves its line and the job is leased in one step; called again with the same execution id (its
--        answer was lost) it gives the same job. An entry whose record is missing or was not written by FlowScale
--        (another function, pickled data, an oversized spec) is never handed out: it is set aside and counted. A start and
--        a grant of drain.lua never both get the group.
local candidates = {}
for index = 14, #ARGV, 2 do
    candidates[ARGV[index]] = { keys = 33 + (index - 14) / 2 * 4, data = ARGV[index + 1] }
end

local function choose(id)
    local at = candidates[id].keys
    ID, JOB, EVENTS, LOGS, FACTS = id, KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3]
end

local execution = ARGV[6]
local held = redis.call('HGET', HOLDERS, execution)
if held then
    if not candidates[held] then return { 'look' } end
    choose(held)
    local again = record()
    return { 'started', again[1], again[2] }
end

if redis.call('EXISTS', KEYS[31]) == 1 then return { 'none' } end
local draining = redis.call('HGET', KEYS[32], ARGV[13])
if draining and tonumber(draining) > now then return { 'none' } end

local fair = (tonumber(redis.call('GET', KEYS[29]) or 0) + 1) % tonumber(ARGV[9]) == 0
local line, longest
for index = 1, 3 do
    local head = redis.call('LINDEX', KEYS[22 + index], 0)
    if head then
        if not candidates[head] then return { 'look' } end
        JOB = KEYS[candidates[head].keys]
        local joined = tonumber(get('joined') or 0) or 0
        if not line or (fair and joined < longest) then line, longest = index, joined end
        if not fair then break end
    end
end
if not line then return { 'none' } end

choose(redis.call('LPOP', KEYS[22 + line]))
LINE, WIP = KEYS[22 + line], KEYS[25 + line]
local state = get('state')
if get('v') and RQ_STATUS[state] and state ~= 'queued' then return { 'look' } end -- a second entry of a job that is elsewhere
local ours = get('v') and get('data') == candidates[ID].data and redis.call('HSTRLEN', JOB, 'spec') <= tonumber(ARGV[10])
if not ours or not RQ_STATUS[state] then
    redis.call('ZADD', KEYS[30], now, ID)
    redis.call('ZREMRANGEBYRANK', KEYS[30], 0, -1 - tonumber(ARGV[11]))
    for _, index in pairs(INDEX) do redis.call('ZREM', index, ID) end
    redis.call('HDEL', LIVE, ID)
    unfile()
    for _, key in ipairs({ JOB, EVENTS, LOGS, FACTS }) do redis.call('EXPIRE', key, ARGV[12]) end
    count('refused')
    return { 'aside', ID }
end

redis.call('INCR', KEYS[29])
redis.call('HSET', JOB, 'execution', execution, 'worker', ARGV[7], 'worker_name', ARGV[7],
    'execution_started_ms', digits(now), 'last_heartbeat', iso(now), 'logged_before', get('logged') or 0)
if redis.call('HSETNX', JOB, 'started_ms', digits(now)) == 1 then redis.call('HSET', JOB, 'started_at', iso(now)) end
redis.call('HSET', HOLDERS, execution, ID)
redis.call('ZADD', LEASES, now + tonumber(ARGV[8]), ID)
live(ARGV[13])
redis.call('ZADD', WIP, '+inf', ID .. ':' .. execution) -- RQ's own clean-up must never think it expired
enter('running')
count('started')
count('waited:ms', digits(math.max(0, now - tonumber(get('joined_ms') or now))))
local started = record()
return { 'started', started[1], started[2] }
