#!lua flags=allow-oom
-- Note what the storage holds.
--
-- ARGV  3  lease ms      4  ms to keep it      5  parts recorded before      6  bytes of these
--       7  bytes of the rest     8  key, or empty: as it was      9  media     10  the storage's upload
--       11... the parts, each as "number size tag"
-- Result {'held', record}, or {'lost'}.
-- Guarantees: only the holder of the lock records. Asked again (its answer was lost) it appends nothing twice.
if not holds() then return { 'lost' } end
local before, after = tonumber(get('count')), tonumber(ARGV[5])
local more = #ARGV - 10
local again = more > 0 and before == after + more and redis.call('LINDEX', PARTS, -1) == ARGV[#ARGV]
if before ~= after and not again then return { 'lost' } end
if not again and more > 0 then
    for index = 11, #ARGV do redis.call('RPUSH', PARTS, ARGV[index]) end
    redis.call('HSET', UPLOAD, 'count', digits(after + more), 'stored', digits(tonumber(get('stored')) + tonumber(ARGV[6])))
end
redis.call('HSET', UPLOAD, 'rest', ARGV[7])
if ARGV[8] ~= '' then redis.call('HSET', UPLOAD, 'key', ARGV[8], 'media', ARGV[9], 'upload', ARGV[10]) end
lease(ARGV[3])
touch(ARGV[4])
return { 'held', record() }
