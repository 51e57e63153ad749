-- Put before scripts whose first argument is the time: in ms, or empty, which means this server's clock.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
else
    now = tonumber(now)
end
local function digits(number) return string.format('%.0f', number) end
