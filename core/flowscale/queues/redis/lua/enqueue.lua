#!lua
-- Accept a new job, or name the job that its Idempotency-Key made before.
--
-- KEYS  1..22  the job's keys
--       23     RQ's set of queues
--       24     all job ids
--       25..27 the lines high, normal, low
--       28     idempotency keys: key -> fingerprint and job id      29  when each is forgotten (ms)
--       30     reports of workers                              31  when each came (ms)
--       32..34 beside the job
-- ARGV  1..5   now, job id, three channels
--       6      jobs that may wait at most
--       7      idempotency key, or empty     8  its fingerprint     9  ms for which it is remembered
--       10     a job id the key may still name though that job is gone, or empty
--       11     1, 2 or 3: which of the three lines is the job's      12  ms within which workers count that reported
--       13     the words it is found by, each on a line
--       14...  fields and values of the record
-- Result {'made', position, running, slots, mean ms of recent renders}; {'known', fingerprint, job id}; {'full'};
--        {'exists'} when this very job was accepted before (an earlier try whose answer was lost).
-- Guarantees: record, place in line, index, event, idempotency key and wake-up come together or not at all. Runs only
--        when the server has memory left (no allow-oom flag): a full server refuses it before its first write.
if redis.call('EXISTS', JOB) == 1 then return { 'exists' } end
local key = ARGV[7]
if key ~= '' then
    local known = redis.call('HGET', KEYS[28], key)
    if known and tonumber(redis.call('ZSCORE', KEYS[29], key)) > now then
        local fingerprint, job = string.match(known, '^(.*) (%S+)$')
        if job ~= ARGV[10] then return { 'known', fingerprint, job } end
    end
end
local waiting = redis.call('LLEN', KEYS[25]) + redis.call('LLEN', KEYS[26]) + redis.call('LLEN', KEYS[27])
if waiting + redis.call('ZCARD', DELAYED) >= tonumber(ARGV[6]) then return { 'full' } end
redis.call('HSET', JOB, unpack(ARGV, 14))
redis.call('ZADD', KEYS[24], 0, ID)
file(ARGV[13])
redis.call('SADD', KEYS[23], KEYS[25], KEYS[26], KEYS[27])
if key ~= '' then
    redis.call('HSET', KEYS[28], key, ARGV[8] .. ' ' .. ID)
    redis.call('ZADD', KEYS[29], now + tonumber(ARGV[9]), key)
end
count('enqueued')
enter('queued')
join()
local place = 0
for line = 1, tonumber(ARGV[11]) do place = place + redis.call('LLEN', KEYS[24 + line]) end
return { 'made', place, outlook(KEYS[30], KEYS[31], ARGV[12]) }
