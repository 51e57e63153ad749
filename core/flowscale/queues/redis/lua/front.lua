#!lua flags=allow-oom
-- Have a job that waits run before all others: of high priority from now on, and first of that line.
--
-- KEYS  1..22 the job's keys      23  the line of high priority      24..26 beside the job
-- ARGV  1..5  now, job id, three channels      6  the high priority      7  RQ's name of its line
-- Result {'missing'}; {'look'} when it was moved: call again; {'other', record, log} unless it waits;
--        {'queued', record, log}.
-- Guarantees: it stands in one line, once; a start and this never both take it from its line. A delayed one waits for
--        its back-off no more; one that waited keeps its turn, and since when it waits.
local state = get('state')
if not state then return { 'missing' } end
local answer = 'queued'
if state ~= 'queued' and state ~= 'delayed' then
    answer = 'other'
elseif elsewhere() then
    return { 'look' }
else
    redis.call('LREM', LINE, 1, ID)
    redis.call('HSET', JOB, 'priority', ARGV[6], 'origin', ARGV[7])
    if state == 'delayed' then
        redis.call('ZREM', DELAYED, ID)
        redis.call('ZREM', SCHEDULED, ID)
        redis.call('HDEL', JOB, 'due_ms')
        redis.call('HSET', JOB, 'joined', redis.call('INCR', JOINED), 'joined_ms', digits(now), 'enqueued_at', iso(now))
        live()
        enter('queued')
    end
    redis.call('LPUSH', KEYS[23], ID)
    redis.call('PUBLISH', WAKE, ID)
end
local now_is = record()
return { answer, now_is[1], now_is[2] }
