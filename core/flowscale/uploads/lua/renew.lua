#!lua flags=allow-oom
-- Extend the lease of a lock.
--
-- ARGV  3  lease ms
-- Result {'lost'}, or {'held', 1 if another was refused because of it, else 0}.
if not holds() then return { 'lost' } end
lease(ARGV[3])
return { 'held', redis.call('HEXISTS', UPLOAD, 'wanted') }
