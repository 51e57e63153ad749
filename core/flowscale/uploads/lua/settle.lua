#!lua flags=allow-oom
-- The upload is complete, or has ended.
--
-- ARGV  3  ms to keep it      4  complete, ended      5  reason
-- Result {'held', record}, or {'lost'}.
-- Guarantees: only the holder of the lock settles; what is settled so already is answered the same.
if alive() and get('state') == ARGV[4] then return { 'held', record() } end
if not holds() then return { 'lost' } end
redis.call('HSET', UPLOAD, 'state', ARGV[4], 'reason', ARGV[5])
redis.call('DEL', PARTS)
let_go()
touch(ARGV[3])
return { 'held', record() }
