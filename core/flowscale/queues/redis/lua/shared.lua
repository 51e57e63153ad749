-- What every script begins with: the clock, the names of a job's keys, and the steps several scripts share.
-- Put before each script's own text by scripts.py. It writes nothing by itself.
--
-- KEYS of a script that works on one job ("the job's keys", keys.py: job_keys) are always these, in this order:
local JOB, EVENTS, LOGS = KEYS[1], KEYS[2], KEYS[3] -- the record (RQ's job hash), its events (stream), its log (list)
local LINE, WIP, SCHEDULED, FINISHED, FAILED = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8] -- RQ's, of the job's queue
local LEASES, DELAYED = KEYS[9], KEYS[10] -- job id by ms: when the lease ends, when the retry is due
local HOLDERS, JOINED = KEYS[11], KEYS[12] -- job id by execution id; how many jobs have joined a line so far
local IN_QUEUED, IN_RUNNING, IN_DONE, IN_ERROR = KEYS[13], KEYS[14], KEYS[15], KEYS[16] -- job ids by public state
local ENDED_DONE, ENDED_ERROR = KEYS[17], KEYS[18] -- job id by ms of its end
local COUNTERS, DURATIONS = KEYS[19], KEYS[20] -- figures; ms of the last finished renders, newest first
local LIVE, PROFILES = KEYS[21], KEYS[22] -- what `live` and `learn` below keep: by job id, by profile
-- The last keys of such a script are what jobs are found by and what they told ("beside the job", keys.py: beside):
local FACTS, CARDS, FIND = KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS] -- the job's; cards by job id; word NUL job id
-- ARGV of every script begins with: now in ms (empty: this server's clock), the job's id, three channels.
local ID, NEWS, WAKE, FREED = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local EVENTS_KEPT, LOG_LINES_KEPT, DURATIONS_KEPT, ATTEMPTS_KEPT = 500, 40, 50, 50 -- base.py, jobs.py; a test compares
local SAMPLES_KEPT, PROFILES_KEPT = 50, 2000 -- predictions.py; a test compares
-- A script that may end the job is given before those ("the outbox", keys.py: outbox) the messages of webhooks by id,
-- those that are settled by ms, the endpoints by ms when one is due; and then for each endpoint of the job, in the order of
-- its record, the messages that wait for it by ms when they are due.
local TAIL_LINES, TAILS_KEPT = 15, 10 -- jobs.py; a test compares

local MESSAGES_WAIT, TOO_MANY_WAIT = 10000, 'more than 10000 deliveries wait for this endpoint' -- queues/outbox.py

local function clock()
    if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local now = clock()

-- Whole numbers as text: Lua's own way would write large ones as 1.7e+12.
local function digits(number) return string.format('%.0f', number) end

-- Unix ms as RQ writes times (ISO 8601 UTC). Days to a date: the proleptic Gregorian calendar in eras of 400 years.
local function iso(ms)
    local seconds = math.floor(ms / 1000)
    local day, rest = math.floor(seconds / 86400) + 719468, seconds % 86400
    local era = math.floor(day / 146097)
    local of_era = day - era * 146097
    local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
        - math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local shifted = math.floor((5 * of_year + 2) / 153)
    local month = shifted < 10 and shifted + 3 or shifted - 9
    return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d000Z', year + era * 400 + (month <= 2 and 1 or 0), month,
        of_year - math.floor((153 * shifted + 2) / 5) + 1, math.floor(rest / 3600), math.floor(rest / 60) % 60,
        rest % 60, ms % 1000)
end

local function count(what, by) redis.call('HINCRBY', COUNTERS, what, by or 1) end

-- Count what an execution handed in (records.py: counts_text).
local function count_handed_in(text)
    for what, by in string.gmatch(text, '(%S+) (%d+)') do count(what, by) end
end

-- A field of the record; false when it is not there, or when somebody put something else than a record in its place.
local function get(field)
    local value = redis.pcall('HGET', JOB, field)
    return type(value) == 'string' and value
end

-- Whether the job is of another line than these keys are: a person has moved it (front.lua) since its priority was read.
-- Such a script changes nothing then, and answers {'look'}: read again, and call again.
local function elsewhere()
    local priority = get('priority')
    if priority ~= 'high' and priority ~= 'low' then priority = 'normal' end -- records.py: priority_of
    return priority ~= (string.match(LINE, 'render%-(%a+)$') or 'normal') -- keys.py: queue_name; a test compares
end

-- Append an event of the job and tell the gateways. Ids grow by one, from 1.
local function tell(kind, data)
    local number = redis.call('HINCRBY', JOB, 'events', 1)
    redis.call('XADD', EVENTS, 'MAXLEN', '=', EVENTS_KEPT, number .. '-0', 'kind', kind, 'at', digits(now), 'data', data)
    redis.call('PUBLISH', NEWS, ID)
end

local PUBLIC = { queued = 'queued', delayed = 'queued', running = 'running', done = 'done', error = 'error' }
local RQ_STATUS = { queued = 'queued', delayed = 'scheduled', running = 'started', done = 'finished', error = 'failed' }
local INDEX = { queued = IN_QUEUED, running = IN_RUNNING, done = IN_DONE, error = IN_ERROR }

-- The record is in `state` from now on: its field, RQ's status, the index that listings read, the event.
local function enter(state)
    local before = get('state')
    redis.call('HSET', JOB, 'state', state, 'status', RQ_STATUS[state])
    if not before or PUBLIC[before] ~= PUBLIC[state] then
        if before then redis.call('ZREM', INDEX[PUBLIC[before]], ID) end
        redis.call('ZADD', INDEX[PUBLIC[state]], 0, ID)
    end
    local data = '{"status":"' .. PUBLIC[state] .. '","progressPct":' .. get('progress')
    if state == 'error' then
        data = data .. ',"code":' .. cjson.encode(get('failure_code')) .. ',"message":'
            .. cjson.encode(get('failure_message'))
    end
    tell('state', data .. '}')
end

-- Have the job found by these words too, each on a line of its own (finding.py: card_of).
local function file(words)
    for word in string.gmatch(words, '[^\n]+') do redis.call('ZADD', FIND, 0, word .. '\0' .. ID) end
    redis.call('HSET', CARDS, ID, (redis.call('HGET', CARDS, ID) or '\n') .. words)
end

-- Have it found no more: by nothing, or by all but the code that it ended with.
local function unfile(code_only)
    local card = redis.call('HGET', CARDS, ID)
    if not card then return end
    local kept, code = string.match(card, '^(.-)(\1c.*)$')
    if not code_only then kept, code = nil, card end
    for word in string.gmatch(code or '', '[^\n]+') do redis.call('ZREM', FIND, word .. '\0' .. ID) end
    if kept then
        for word in string.gmatch(kept, '[^\n]+') do redis.call('ZADD', FIND, 0, word .. '\0' .. ID) end
        redis.call('HSET', CARDS, ID, kept)
    elseif not code_only then
        redis.call('HDEL', CARDS, ID)
    end
end

-- The words of the code that a job ended with.
local function words_of_code(code) return '\1c' .. code .. '\n' .. string.lower(code) .. '\n' end

-- Note since when the job waits in a line, or runs (then with the group that holds it). A job has such a note exactly as
-- long as it does either: `let_go` and `end_in_error` take it away. What it holds: ms, profile, group, each a space apart.
local function live(group)
    redis.call('HSET', LIVE, ID, digits(now) .. ' ' .. (get('profile') or '') .. (group and ' ' .. group or ''))
end

-- Learn from a render that took so many ms how long those of its profile take: how many were seen, up to SAMPLES_KEPT,
-- and their mean, in which a new one counts as much as one of that many.
local function learn(took)
    local profile = get('profile')
    if not profile then return end
    local known = redis.call('HGET', PROFILES, profile)
    if not known and redis.call('HLEN', PROFILES) >= PROFILES_KEPT then return end
    local seen, mean = string.match(known or '0 0', '^(%d+) (.+)$')
    seen = math.min(tonumber(seen) + 1, SAMPLES_KEPT)
    mean = tonumber(mean) + (took - tonumber(mean)) / seen
    redis.call('HSET', PROFILES, profile, digits(seen) .. ' ' .. string.format('%.17g', mean))
end

-- To the tail of its line, with a new turn.
local function join()
    redis.call('HSET', JOB, 'joined', redis.call('INCR', JOINED), 'joined_ms', digits(now), 'enqueued_at', iso(now))
    live()
    redis.call('RPUSH', LINE, ID)
    redis.call('PUBLISH', WAKE, ID)
end

-- To the head of its line; it keeps its turn, but waits from now on.
local function give_back()
    redis.call('HSET', JOB, 'joined_ms', digits(now))
    live()
    redis.call('LPUSH', LINE, ID)
    redis.call('PUBLISH', WAKE, ID)
end

-- Whether this execution holds the job.
local function holds(execution) return get('state') == 'running' and get('execution') == execution end

-- The job is held no more. Every end of an execution comes through here, so that its group is free from then on.
local function let_go()
    local execution = get('execution')
    redis.call('ZREM', LEASES, ID)
    redis.call('HDEL', LIVE, ID)
    redis.call('PUBLISH', FREED, ID)
    redis.call('ZREM', WIP, ID .. ':' .. execution)
    redis.call('HDEL', HOLDERS, execution)
    redis.call('HDEL', JOB, 'execution', 'worker', 'worker_name', 'execution_started_ms')
end

-- Record the execution that ends now as an attempt (code and message: nil for a success), and let go.
local function end_attempt(code, message)
    local number = redis.call('HINCRBY', JOB, 'executions', 1)
    local attempt = '{"number":' .. number .. ',"started_ms":' .. (get('execution_started_ms') or digits(now))
        .. ',"ended_ms":' .. digits(now) .. ',"worker":' .. cjson.encode(get('worker') or '')
    if code then attempt = attempt .. ',"code":' .. cjson.encode(code) .. ',"message":' .. cjson.encode(message) end
    local before = get('attempts')
    if before and number > ATTEMPTS_KEPT then
        local kept = cjson.decode('[' .. before .. ']')
        while #kept >= ATTEMPTS_KEPT do table.remove(kept, 1) end
        before = string.sub(cjson.encode(kept), 2, -2)
    end
    redis.call('HSET', JOB, 'attempts', (before and before .. ',' or '') .. attempt .. '}')
    local lines = tonumber(get('logged') or 0) - tonumber(get('logged_before') or 0)
    if lines > 0 then
        local tail = redis.call('LRANGE', LOGS, -math.min(lines, TAIL_LINES), -1)
        redis.call('HSET', FACTS, 'tail:' .. number, cjson.encode(tail))
    end
    redis.call('HDEL', FACTS, 'tail:' .. number - TAILS_KEPT)
    let_go()
end

-- Count a job that has ended, and how long it took from its first start (buckets in s: figures.py; a test compares).
local function count_end(status)
    count('ended:' .. status)
    local started = get('started_ms')
    if not started then return end
    local ms = now - tonumber(started)
    for _, bucket in ipairs({ 10, 30, 60, 120, 300, 600 }) do
        if ms <= bucket * 1000 then
            count('took:' .. bucket)
            break
        end
    end
    count('took:count')
    count('took:ms', digits(math.max(0, ms)))
end

-- Make a message for each endpoint that is told of the job's ends: of this end, as it was. Keys that are not those of the
-- record's endpoints (it was forged) are left alone.
local function tell_endpoints(status)
    local read, targets = pcall(cjson.decode, get('hooks') or '[]')
    if not read or type(targets) ~= 'table' or #targets == 0 then return end
    local number = redis.pcall('HINCRBY', JOB, 'ends', 1)
    if type(number) ~= 'number' then return count('webhook:refused') end
    local first = #KEYS - 3 - #targets
    local messages, settled, endpoints = KEYS[first - 2], KEYS[first - 1], KEYS[first]
    local started, output = get('started_ms'), get('output')
    for at, target in ipairs(targets) do
        local name = type(target) == 'table' and tostring(target[1]) or ''
        local due = KEYS[first + at]
        if not endpoints or string.sub(due, -#name - 5) ~= ':due:' .. name then return count('webhook:refused') end
        local id = 'msg_' .. ID .. '_' .. digits(number) .. '_' .. name
        local message = {
            job = ID, target = name, url = target[2], at = now, since = now, state = 'pending', tries = 0, next = now,
            project = get('project') or nil, took = started and now - tonumber(started) or nil,
        }
        if status == 'done' then
            message.output = output
        else
            message.code, message.message = get('failure_code'), get('failure_message')
        end
        if redis.call('ZCARD', due) >= MESSAGES_WAIT then
            message.state, message.next, message.fault = 'failed', nil, TOO_MANY_WAIT
            redis.call('ZADD', settled, now, id)
            count('webhook:failed')
        else
            redis.call('ZADD', due, now, id)
            redis.call('ZADD', endpoints, 'LT', now, name)
        end
        redis.call('HSET', messages, id, cjson.encode(message))
    end
end

-- The job ends in error. It must have been let go.
local function end_in_error(code, message, retryable)
    redis.call('HSET', JOB, 'failure_code', code, 'failure_message', message, 'failure_retryable', retryable,
        'completed_ms', digits(now), 'ended_at', iso(now), 'exc_info', code .. ': ' .. message)
    redis.call('HDEL', JOB, 'due_ms')
    redis.call('HDEL', LIVE, ID)
    redis.call('ZADD', FAILED, '+inf', ID)
    redis.call('ZADD', ENDED_ERROR, now, ID)
    if redis.call('HEXISTS', CARDS, ID) == 1 then file(words_of_code(code)) end -- else `tend` files it one day
    count('failed:' .. code)
    count_end('error')
    tell_endpoints('error')
    enter('error')
end

-- What the wait of a job is estimated from: running jobs, renders that can run at once by workers that reported within
-- `seen` ms (0: none did), and the mean length of the last renders in ms (empty: there were none).
local function outlook(reports, reported, seen)
    local slots, total = 0, 0
    local fresh = redis.call('ZRANGEBYSCORE', reported, now - tonumber(seen) + 1, '+inf')
    if #fresh > 0 then
        for _, report in ipairs(redis.call('HMGET', reports, unpack(fresh))) do
            slots = slots + (report and tonumber(string.match(report, '^%d+')) or 0)
        end
    end
    local recent = redis.call('LRANGE', DURATIONS, 0, -1)
    for _, ms in ipairs(recent) do total = total + tonumber(ms) end
    local mean = #recent > 0 and string.format('%.17g', total / #recent) or ''
    return redis.call('ZCARD', LEASES), slots, mean
end

-- The whole record: fields and values, then the lines of its log.
local function record() return { redis.call('HGETALL', JOB), redis.call('LRANGE', LOGS, 0, -1) } end
