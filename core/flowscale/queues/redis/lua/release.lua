#!lua flags=allow-oom
-- Give a running job back to the head of its line: its worker is stopping.
--
-- KEYS  1..22 the job's keys      23..25 beside the job
-- ARGV  1..5  now, job id, three channels      6  execution id      7, 8  code and message of a cancel
-- Result {'lost'} or {'ended', record, log}.
-- Guarantees: only the current execution gives it back; no attempt and no stall is counted; a cancelled job ends.
if not holds(ARGV[6]) then return { 'lost' } end
let_go()
if get('cancel') then
    end_in_error(ARGV[7], ARGV[8], '0')
else
    give_back()
    enter('queued')
    count('released')
end
local ended = record()
return { 'ended', ended[1], ended[2] }
