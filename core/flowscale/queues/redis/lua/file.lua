#!lua flags=allow-oom
-- Have a job found that an older version accepted, which kept no cards.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  the words it is found by, each on a line, without its code
-- Result 1 when this call did it, else 0.
-- Guarantees: a job that has a card, or is gone, is left alone; the code is that of this instant.
if not get('v') or redis.call('HEXISTS', CARDS, ID) == 1 then return 0 end
local code = get('state') == 'error' and get('failure_code')
file(ARGV[6] .. (code and words_of_code(code) or ''))
return 1
