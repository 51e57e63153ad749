#!lua flags=allow-oom
-- Forget a job that a person wants gone, with every key it owns, and note that its outputs are to be deleted.
--
-- KEYS  1..22 the job's keys      23  all job ids      24  ids of removed jobs, by ms      25...  RQ's own keys of the job
--       after those: the outbox      the last three: beside the job
-- ARGV  1..5  now, job id, three channels      6, 7  code and message of a cancel      8  how many keys are RQ's own
-- Result {'missing'}; {'look'} when it was moved: call again; {'running', record, log}; {'removed', record, log}: as it was last.
-- Guarantees: a start and this never both get the job; one that waited ends by it, counted and told of as cancelled;
--        readers that wait for its events are told.
local state = get('state')
if not state then return { 'missing' } end
local was = record()
if state == 'running' then return { 'running', was[1], was[2] } end
if elsewhere() then return { 'look' } end
if state == 'queued' or state == 'delayed' then
    redis.call('LREM', LINE, 1, ID)
    redis.call('ZREM', DELAYED, ID)
    redis.call('ZREM', SCHEDULED, ID)
    end_in_error(ARGV[6], ARGV[7], '0')
end
for _, set in ipairs({ FINISHED, FAILED, ENDED_DONE, ENDED_ERROR, KEYS[23] }) do
    redis.call('ZREM', set, ID)
end
for _, index in pairs(INDEX) do redis.call('ZREM', index, ID) end
unfile()
redis.call('DEL', JOB, EVENTS, LOGS, FACTS, unpack(KEYS, 25, 24 + tonumber(ARGV[8])))
redis.call('ZADD', KEYS[24], now, ID)
redis.call('PUBLISH', NEWS, ID)
return { 'removed', was[1], was[2] }
