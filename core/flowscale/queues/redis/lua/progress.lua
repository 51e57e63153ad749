#!lua flags=allow-oom
-- Record progress and log lines of a running job.
--
-- KEYS  1..20 the job's keys
-- ARGV  1..4  now, job id, two channels      5  execution id      6  percent 0..99, or empty: unchanged      7...  lines
-- Result {'lost'} or {'held'}.
-- Guarantees: only the current execution's count; progress never falls; an event for each change and each line.
if not holds(ARGV[5]) then return { 'lost' } end
if ARGV[6] ~= '' and tonumber(ARGV[6]) > tonumber(get('progress')) then
    redis.call('HSET', JOB, 'progress', ARGV[6])
    tell('progress', '{"progressPct":' .. ARGV[6] .. '}')
end
for index = 7, #ARGV do
    redis.call('RPUSH', LOGS, ARGV[index])
    tell('log', '{"line":' .. cjson.encode(ARGV[index]) .. '}')
end
redis.call('LTRIM', LOGS, -LOG_LINES_KEPT, -1)
return { 'held' }
