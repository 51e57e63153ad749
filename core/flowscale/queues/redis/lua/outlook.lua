#!lua flags=no-writes
-- What the wait of a job is estimated from.
--
-- KEYS  1..22  a job's keys      23  reports of workers      24  when each came (ms)      25..27 beside the job
-- ARGV  1..5   now, job id, three channels      6  ms within which workers count that reported
-- Result {running, slots, mean ms of recent renders or empty}.
return { outlook(KEYS[23], KEYS[24], ARGV[6]) }
