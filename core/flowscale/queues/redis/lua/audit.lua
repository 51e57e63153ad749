#!lua flags=allow-oom
-- Append to the audit log.
--
-- KEYS  1  the log, a stream
-- ARGV  1  entries that are kept at most      2...  fields and values
-- Result the entry's id.
-- Guarantees: a full server takes it too; the oldest go.
return redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[1], '*', unpack(ARGV, 2))
