#!lua flags=allow-oom
-- Take a running job from a worker that was lost, and give it back to the head of its line.
--
-- KEYS  1..22 the job's keys      23  ids of jobs that lost an execution, by ms      24..26 beside the job
-- ARGV  1..5  now, job id, three channels      6  the execution that is known to be dead, or empty: whose lease ran out
--       7     lost workers that a job survives
--       8, 9  code and message of a lost worker, with {worker} where its name goes
--       10    message of a job that lost too many, with {count}      11, 12  code and message of a cancel
--       13    lease ms: a lease that ends twice as far ahead was made before the clock was set back
-- Result {'held'} when the execution is another or its lease runs still (somebody was faster); {'stalled', record, log}.
-- Guarantees: however many try, one counts; no attempt is used up; a cancelled job ends, and one that lost too many. A
--        job whose execution is dead is noted, however it has gone on: that execution may have stored an output.
if get('state') ~= 'running' then
    if ARGV[6] ~= '' and get('state') then redis.call('ZADD', KEYS[23], now, ID) end
    redis.call('ZREM', LEASES, ID) -- forged, or its record is gone: nobody holds it
    if get('state') ~= 'queued' then redis.call('HDEL', LIVE, ID) end
    return { 'held' }
end
if ARGV[6] == '' then
    local expires = redis.call('ZSCORE', LEASES, ID)
    if not expires or (tonumber(expires) > now and tonumber(expires) < now + 2 * tonumber(ARGV[13])) then
        return { 'held' }
    end
elseif get('execution') ~= ARGV[6] then
    redis.call('ZADD', KEYS[23], now, ID)
    return { 'held' }
end
local function fill(text, name, value) return (string.gsub(text, '{' .. name .. '}', function() return value end)) end
end_attempt(ARGV[8], fill(ARGV[9], 'worker', get('worker')))
local stalls = redis.call('HINCRBY', JOB, 'stalls', 1)
count('stalled')
redis.call('ZADD', KEYS[23], now, ID)
if get('cancel') then
    end_in_error(ARGV[11], ARGV[12], '0')
elseif stalls > tonumber(ARGV[7]) then
    end_in_error(ARGV[8], fill(ARGV[10], 'count', tostring(stalls)), '0')
else
    give_back()
    enter('queued')
end
local ended = record()
return { 'stalled', ended[1], ended[2] }
