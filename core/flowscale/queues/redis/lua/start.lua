#!lua flags=allow-oom
-- Take the next job, make its execution and its lease, and mark it running.
--
-- KEYS  1..20  the job's keys, of any candidate (the chosen one's take their place)
--       21..23 the lines high, normal, low      24..26 RQ's registries of started jobs, likewise
--       27     how many jobs were handed out      28  entries set aside: id by ms
--       29     RQ's suspension flag
--       30...  record, events and log of each candidate
-- ARGV  1..4   now, job id, two channels
--       5      execution id     6  worker     7  lease ms     8  fairness: every so many turns are the longest wait's
--       9      largest spec in bytes      10  entries set aside that are kept at most
--       11     s for which the record of such an entry stays to be looked at
--       12...  id and RQ data of each candidate
-- Result {'started', record, log}; {'none'} when no job waits, or all are held up; {'look'} when the next job is no candidate, or was no job
--        of ours that waits: look again; {'aside', id} when what was next is nothing of ours.
-- Guarantees: the id leaves its line and the job is leased in one step; called again with the same execution id (its
--        answer was lost) it gives the same job. An entry whose record is missing or was not written by FlowScale
--        (another function, pickled data, an oversized spec) is never handed out: it is set aside and counted.
local candidates = {}
for index = 12, #ARGV, 2 do
    candidates[ARGV[index]] = { keys = 30 + (index - 12) / 2 * 3, data = ARGV[index + 1] }
end

local function choose(id)
    local at = candidates[id].keys
    ID, JOB, EVENTS, LOGS = id, KEYS[at], KEYS[at + 1], KEYS[at + 2]
end

local execution = ARGV[5]
local held = redis.call('HGET', HOLDERS, execution)
if held then
    if not candidates[held] then return { 'look' } end
    choose(held)
    local again = record()
    return { 'started', again[1], again[2] }
end

if redis.call('EXISTS', KEYS[29]) == 1 then return { 'none' } end

local fair = (tonumber(redis.call('GET', KEYS[27]) or 0) + 1) % tonumber(ARGV[8]) == 0
local line, longest
for index = 1, 3 do
    local head = redis.call('LINDEX', KEYS[20 + index], 0)
    if head then
        if not candidates[head] then return { 'look' } end
        JOB = KEYS[candidates[head].keys]
        local joined = tonumber(get('joined') or 0) or 0
        if not line or (fair and joined < longest) then line, longest = index, joined end
        if not fair then break end
    end
end
if not line then return { 'none' } end

choose(redis.call('LPOP', KEYS[20 + line]))
LINE, WIP = KEYS[20 + line], KEYS[23 + line]
local state = get('state')
if get('v') and RQ_STATUS[state] and state ~= 'queued' then return { 'look' } end -- a second entry of a job that is elsewhere
local ours = get('v') and get('data') == candidates[ID].data and redis.call('HSTRLEN', JOB, 'spec') <= tonumber(ARGV[9])
if not ours or not RQ_STATUS[state] then
    redis.call('ZADD', KEYS[28], now, ID)
    redis.call('ZREMRANGEBYRANK', KEYS[28], 0, -1 - tonumber(ARGV[10]))
    for _, index in pairs(INDEX) do redis.call('ZREM', index, ID) end
    for _, key in ipairs({ JOB, EVENTS, LOGS }) do redis.call('EXPIRE', key, ARGV[11]) end
    count('refused')
    return { 'aside', ID }
end

redis.call('INCR', KEYS[27])
redis.call('HSET', JOB, 'execution', execution, 'worker', ARGV[6], 'worker_name', ARGV[6],
    'execution_started_ms', digits(now), 'last_heartbeat', iso(now))
if redis.call('HSETNX', JOB, 'started_ms', digits(now)) == 1 then redis.call('HSET', JOB, 'started_at', iso(now)) end
redis.call('HSET', HOLDERS, execution, ID)
redis.call('ZADD', LEASES, now + tonumber(ARGV[7]), ID)
redis.call('ZADD', WIP, '+inf', ID .. ':' .. execution) -- RQ's own clean-up must never think it expired
enter('running')
count('started')
count('waited:ms', digits(math.max(0, now - tonumber(get('joined_ms') or now))))
local started = record()
return { 'started', started[1], started[2] }
