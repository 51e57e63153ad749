#!lua flags=allow-oom
-- Give a running job back to the head of its line: its worker is stopping.
--
-- KEYS  1..20 the job's keys
-- ARGV  1..4  now, job id, two channels      5  execution id      6, 7  code and message of a cancel
-- Result {'lost'} or {'ended', record, log}.
-- Guarantees: only the current execution gives it back; no attempt and no stall is counted; a cancelled job ends.
if not holds(ARGV[5]) then return { 'lost' } end
let_go()
if get('cancel') then
    end_in_error(ARGV[6], ARGV[7], '0')
else
    give_back()
    enter('queued')
    count('released')
end
local ended = record()
return { 'ended', ended[1], ended[2] }
