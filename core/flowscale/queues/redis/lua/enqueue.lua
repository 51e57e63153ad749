#!lua
-- Accept a new job, or name the job that its Idempotency-Key made before.
--
-- KEYS  1..20  the job's keys
--       21     RQ's set of queues
--       22     all job ids
--       23..25 the lines high, normal, low
--       26     idempotency keys: key -> fingerprint and job id      27  when each is forgotten (ms)
--       28     reports of workers                              29  when each came (ms)
-- ARGV  1..4   now, job id, two channels
--       5      jobs that may wait at most
--       6      idempotency key, or empty     7  its fingerprint     8  ms for which it is remembered
--       9      a job id the key may still name though that job is gone, or empty
--       10     1, 2 or 3: which of the three lines is the job's      11  ms within which workers count that reported
--       12...  fields and values of the record
-- Result {'made', position, running, slots, mean ms of recent renders}; {'known', fingerprint, job id}; {'full'};
--        {'exists'} when this very job was accepted before (an earlier try whose answer was lost).
-- Guarantees: record, place in line, index, event, idempotency key and wake-up come together or not at all. Runs only
--        when the server has memory left (no allow-oom flag): a full server refuses it before its first write.
if redis.call('EXISTS', JOB) == 1 then return { 'exists' } end
local key = ARGV[6]
if key ~= '' then
    local known = redis.call('HGET', KEYS[26], key)
    if known and tonumber(redis.call('ZSCORE', KEYS[27], key)) > now then
        local fingerprint, job = string.match(known, '^(.*) (%S+)$')
        if job ~= ARGV[9] then return { 'known', fingerprint, job } end
    end
end
local waiting = redis.call('LLEN', KEYS[23]) + redis.call('LLEN', KEYS[24]) + redis.call('LLEN', KEYS[25])
if waiting + redis.call('ZCARD', DELAYED) >= tonumber(ARGV[5]) then return { 'full' } end
redis.call('HSET', JOB, unpack(ARGV, 12))
redis.call('ZADD', KEYS[22], 0, ID)
redis.call('SADD', KEYS[21], KEYS[23], KEYS[24], KEYS[25])
if key ~= '' then
    redis.call('HSET', KEYS[26], key, ARGV[7] .. ' ' .. ID)
    redis.call('ZADD', KEYS[27], now + tonumber(ARGV[8]), key)
end
count('enqueued')
enter('queued')
join()
local place = 0
for line = 1, tonumber(ARGV[10]) do place = place + redis.call('LLEN', KEYS[22 + line]) end
return { 'made', place, outlook(KEYS[28], KEYS[29], ARGV[11]) }
