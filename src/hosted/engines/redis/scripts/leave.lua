-- Gives back what a member has and has not begun, and removes the member if it has nothing left.
-- KEYS: the stream, what is due and when.
-- ARGV: the group, the member, the last new entry that it has seen, then each entry that it has not begun.
-- Returns how many were given back.
local stream, due, group, me = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local function less(one, other)
    local ms, part = string.match(one, '^(%d+)-(%d+)$')
    local other_ms, other_part = string.match(other, '^(%d+)-(%d+)$')
    ms, part = tonumber(ms), tonumber(part)
    other_ms, other_part = tonumber(other_ms), tonumber(other_part)
    return ms < other_ms or ms == other_ms and part < other_part
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local waiting = {}
for at = 4, #ARGV do waiting[ARGV[at]] = true end
local back, kept = 0, 0
for _, it in ipairs(redis.call('XPENDING', stream, group, '-', '+', 2147483647, me)) do
    if waiting[it[1]] or less(ARGV[3], it[1]) then
        -- It was not begun, so it does not count as an attempt.
        redis.call('XCLAIM', stream, group, 'tb:parked', 0, it[1], 'RETRYCOUNT', it[4] - 1, 'JUSTID')
        redis.call('ZADD', due, now, it[1])
        back = back + 1
    else
        kept = kept + 1
    end
end
if kept == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, group, me) end
return back
