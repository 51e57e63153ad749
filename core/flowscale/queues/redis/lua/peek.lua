#!lua flags=no-writes
-- What a worker that looks for a job, or anybody who tends the queue, must know before it can name keys.
--
-- KEYS  1  RQ's suspension flag      2..4  the lines high, normal, low      5  delayed      6  leases
--       7  ended done      8  ended in error      9  when each idempotency key is forgotten      10  when workers reported
-- ARGV  1  now      2  how many of each at most      3  keep done      4  keep failed      5  keep at most of each
--       6  retention ms      7  ms after which a report is old      8  heads of each line at most
--       9  lease ms
-- Result {now, paused, heads of the three lines, due retries, when the next is due, expired leases, done jobs that may
--        go, failed jobs that may go, forgotten idempotency keys, silent workers}: ids, oldest first.
-- Guarantees: writes nothing; one instant.
local now, most = ARGV[1], tonumber(ARGV[2])
if now == '' then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
else
    now = tonumber(now)
end

local function heads(line) return redis.call('LRANGE', line, 0, tonumber(ARGV[8]) - 1) end
local function until_now(key) return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, most) end

-- Ended jobs beyond the last `keep`, that are too many or too old.
local function may_go(key, keep)
    local total = redis.call('ZCARD', key)
    local beyond = math.min(most, total - keep)
    if beyond <= 0 then return {} end
    local oldest = redis.call('ZRANGE', key, 0, beyond - 1, 'WITHSCORES')
    local going = {}
    for index = 1, #oldest, 2 do
        local left = total - (index - 1) / 2
        if left <= tonumber(ARGV[5]) and now - tonumber(oldest[index + 1]) < tonumber(ARGV[6]) then break end
        going[#going + 1] = oldest[index]
    end
    return going
end

-- A lease that ends later than any can was made before this server's clock was set back.
local expired = until_now(KEYS[6])
local beyond = redis.call('ZRANGEBYSCORE', KEYS[6], now + 2 * tonumber(ARGV[9]), '+inf', 'LIMIT', 0, most)
for _, id in ipairs(beyond) do expired[#expired + 1] = id end

local due = until_now(KEYS[5])
local next_due = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2]
return {
    string.format('%.0f', now), redis.call('EXISTS', KEYS[1]), heads(KEYS[2]), heads(KEYS[3]), heads(KEYS[4]),
    due, next_due or '', expired, may_go(KEYS[7], tonumber(ARGV[3])), may_go(KEYS[8], tonumber(ARGV[4])),
    until_now(KEYS[9]),
    redis.call('ZRANGEBYSCORE', KEYS[10], '-inf', now - tonumber(ARGV[7]), 'LIMIT', 0, most),
}
