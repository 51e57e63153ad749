#!lua flags=no-writes
-- A login and the key it was opened with.
--
-- KEYS  1  the login      2  the keys by id
-- Result {the login's record, its key's record}; each nil when there is none.
-- Guarantees: one instant, so that no key is missed that is revoked meanwhile.
local login = redis.call('GET', KEYS[1])
if not login then return { false, false } end
return { login, redis.call('HGET', KEYS[2], cjson.decode(login)['key_id']) }
