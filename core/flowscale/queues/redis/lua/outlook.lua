#!lua flags=no-writes
-- What the wait of a job is estimated from.
--
-- KEYS  1..20  a job's keys      21  reports of workers      22  when each came (ms)
-- ARGV  1..4   now, job id, two channels      5  ms within which workers count that reported
-- Result {running, slots, mean ms of recent renders or empty}.
return { outlook(KEYS[21], KEYS[22], ARGV[5]) }
