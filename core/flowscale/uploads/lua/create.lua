#!lua
-- Keep a new upload.
--
-- ARGV  3  ms to keep it      4...  fields and values
-- Result {'held', record}; {'taken'} when there is another upload of this id.
-- Guarantees: asked again with the same token it gives the same answer.
if alive() and get('creator') ~= TOKEN then return { 'taken' } end
redis.call('DEL', UPLOAD, PARTS)
redis.call('HSET', UPLOAD, 'creator', TOKEN, unpack(ARGV, 4))
touch(ARGV[3])
return { 'held', record() }
