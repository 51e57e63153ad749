#!lua flags=allow-oom
-- Take a running job from a worker that was lost, and give it back to the head of its line.
--
-- KEYS  1..20 the job's keys      21  ids of jobs that lost an execution, by ms
-- ARGV  1..4  now, job id, two channels      5  the execution that is known to be dead, or empty: whose lease ran out
--       6     lost workers that a job survives
--       7, 8  code and message of a lost worker, with {worker} where its name goes
--       9     message of a job that lost too many, with {count}      10, 11  code and message of a cancel
--       12    lease ms: a lease that ends twice as far ahead was made before the clock was set back
-- Result {'held'} when the execution is another or its lease runs still (somebody was faster); {'stalled', record, log}.
-- Guarantees: however many try, one counts; no attempt is used up; a cancelled job ends, and one that lost too many. A
--        job whose execution is dead is noted, however it has gone on: that execution may have stored an output.
if get('state') ~= 'running' then
    if ARGV[5] ~= '' and get('state') then redis.call('ZADD', KEYS[21], now, ID) end
    redis.call('ZREM', LEASES, ID) -- forged, or its record is gone: nobody holds it
    return { 'held' }
end
if ARGV[5] == '' then
    local expires = redis.call('ZSCORE', LEASES, ID)
    if not expires or (tonumber(expires) > now and tonumber(expires) < now + 2 * tonumber(ARGV[12])) then
        return { 'held' }
    end
elseif get('execution') ~= ARGV[5] then
    redis.call('ZADD', KEYS[21], now, ID)
    return { 'held' }
end
local function fill(text, name, value) return (string.gsub(text, '{' .. name .. '}', function() return value end)) end
end_attempt(ARGV[7], fill(ARGV[8], 'worker', get('worker')))
local stalls = redis.call('HINCRBY', JOB, 'stalls', 1)
count('stalled')
redis.call('ZADD', KEYS[21], now, ID)
if get('cancel') then
    end_in_error(ARGV[10], ARGV[11], '0')
elseif stalls > tonumber(ARGV[6]) then
    end_in_error(ARGV[7], fill(ARGV[9], 'count', tostring(stalls)), '0')
else
    give_back()
    enter('queued')
end
local ended = record()
return { 'stalled', ended[1], ended[2] }
