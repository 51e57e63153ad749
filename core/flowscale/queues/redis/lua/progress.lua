#!lua flags=allow-oom
-- Record progress and log lines of a running job.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7  percent 0..99, or empty: unchanged      8...  lines
-- Result {'lost'} or {'held'}.
-- Guarantees: only the current execution's count; progress never falls; an event for each change and each line.
if not holds(ARGV[6]) then return { 'lost' } end
if ARGV[7] ~= '' and tonumber(ARGV[7]) > tonumber(get('progress')) then
    redis.call('HSET', JOB, 'progress', ARGV[7])
    tell('progress', '{"progressPct":' .. ARGV[7] .. '}')
end
for index = 8, #ARGV do
    redis.call('RPUSH', LOGS, ARGV[index])
    tell('log', '{"line":' .. cjson.encode(ARGV[index]) .. '}')
end
if #ARGV >= 8 then redis.call('HINCRBY', JOB, 'logged', #ARGV - 7) end
redis.call('LTRIM', LOGS, -LOG_LINES_KEPT, -1)
return { 'held' }
