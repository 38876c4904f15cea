-- Gives a member what is due: what was given back and has waited for its delay, and what another member
-- has had for longer than its lease.
-- KEYS: the stream, what is due and when.
-- ARGV: the group, the member, the most entries.
-- Returns the entries (entry, fields, how often it was delivered), how many of the due ones the stream has
-- removed, and how long to wait for the next one (ms, -1: none).
local stream, due, group, me, room = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])

local function field(of, name)
    for at = 1, #of, 2 do
        if of[at] == name then return of[at + 1] end
    end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, gone = {}, 0

local function take(entry)
    local claimed = redis.call('XCLAIM', stream, group, me, 0, entry)[1]
    if claimed then
        local count = redis.call('XPENDING', stream, group, entry, entry, 1)[1][4]
        taken[#taken + 1] = { claimed[1], claimed[2], count }
    else
        gone = gone + 1
    end
end

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, room)) do
    if redis.call('XPENDING', stream, group, entry, entry, 1)[1] then
        take(entry)
    elseif not redis.call('XRANGE', stream, entry, entry)[1] then
        gone = gone + 1
    end -- else it was settled by other means
    redis.call('ZREM', due, entry)
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local name, pending = field(consumer, 'name'), field(consumer, 'pending')
    local lease = string.match(name, '^tb:%x+:(%d+)$')
    if lease and pending > 0 and #taken < room then
        local late = redis.call(
            'XPENDING', stream, group, 'IDLE', lease, '-', '+', room - #taken, name)
        for _, it in ipairs(late) do take(it[1]) end
    elseif pending == 0 and name ~= me and string.match(name, '^tb:%x') and
        field(consumer, 'idle') > 600000 then
        -- A member that is long gone.
        redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
    end
end
local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
return { taken, gone, next and math.max(1, math.ceil(next - now)) or -1 }
