-- Says where a group is, and what the stream has removed that the group had not received.
-- KEYS: the stream, the server that counts for each group. ARGV: the group, this server.
-- Returns nothing if there is no group, or: how many are missing (-1: some), how many are still to come
-- (-1: not known), the entry behind which the group goes on should it vanish.
local stream, group = KEYS[1], ARGV[1]

local function field(of, name)
    for at = 1, #of, 2 do
        if of[at] == name then return of[at + 1] end
    end
end

local function less(one, other)
    local ms, part = string.match(one, '^(%d+)-(%d+)$')
    local other_ms, other_part = string.match(other, '^(%d+)-(%d+)$')
    ms, part = tonumber(ms), tonumber(part)
    other_ms, other_part = tonumber(other_ms), tonumber(other_part)
    return ms < other_ms or ms == other_ms and part < other_part
end

local info = redis.pcall('XINFO', 'STREAM', stream)
if info.err then return {} end
local own
for _, it in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(it, 'name') == group then own = it end
end
if not own then return {} end

local added, length = field(info, 'entries-added'), field(info, 'length')
local first, last = field(info, 'first-entry'), field(info, 'last-generated-id')
first = first and first[1]
local read, delivered = field(own, 'entries-read'), field(own, 'last-delivered-id')
local removed, missed = added - length, 0
if redis.call('HGET', KEYS[2], group) ~= ARGV[2] then
    -- A server that has started anew, or follows another one, does not know how many were received.
    -- Without memory, it is so again at the next look.
    redis.pcall('XGROUP', 'SETID', stream, group, delivered)
    redis.pcall('HSET', KEYS[2], group, ARGV[2])
    read = false
end
-- Everything that was removed stood before what is to come.
local is_before = length == 0 and less(delivered, last) or first and less(delivered, first)
if is_before then
    if not read then
        missed = removed > 0 and -1 or 0
    elseif removed > read then
        missed = removed - read
    end
    if not read or removed > read then
        redis.pcall('XGROUP', 'SETID', stream, group, delivered, 'ENTRIESREAD', removed)
        read = removed
    end
elseif delivered == last and read ~= added then
    -- It has received the last one, and fewer than there were.
    missed = read and math.max(0, added - read) or 0
    redis.pcall('XGROUP', 'SETID', stream, group, delivered, 'ENTRIESREAD', added)
    read = added
end
local pending = redis.call('XPENDING', stream, group)
local floor = pending[1] > 0 and pending[2] or false
return { missed, read and added - read or -1, floor, delivered }
