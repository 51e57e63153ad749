-- What every script of the upload ledger begins with. Put before each script's own text by redis.py; it writes nothing
-- by itself.
--
-- KEYS of every script: the upload's record (hash), its parts (list of "number size tag").
local UPLOAD, PARTS = KEYS[1], KEYS[2]
-- ARGV of every script begins with: now in ms (empty: this server's clock), the lock's token.
local TOKEN = ARGV[2]

local function clock()
    if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local now = clock()

-- Whole numbers as text: Lua's own way would write large ones as 1.7e+12.
local function digits(number) return string.format('%.0f', number) end

local function get(field) return redis.call('HGET', UPLOAD, field) end

local function alive()
    local expires = get('expires_ms')
    return expires and tonumber(expires) > now
end

-- The lock is this holder's until another takes it, even when its lease ran out.
local function holds() return alive() and get('state') == 'open' and get('token') == TOKEN end

local function lease(ms) redis.call('HSET', UPLOAD, 'token', TOKEN, 'locked_until_ms', digits(now + tonumber(ms))) end

local function let_go() redis.call('HDEL', UPLOAD, 'token', 'locked_until_ms', 'wanted') end

-- It is kept for so long from now.
local function touch(ms)
    redis.call('HSET', UPLOAD, 'expires_ms', digits(now + tonumber(ms)))
    redis.call('PEXPIRE', UPLOAD, ms)
    redis.call('PEXPIRE', PARTS, ms)
end

local function record() return redis.call('HGETALL', UPLOAD) end
