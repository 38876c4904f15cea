-- Finds a group, or makes it.
-- KEYS: the stream, the patterns of the groups, the server that counts for each group.
-- ARGV: the group, its patterns, where it begins (new, earliest, sequence, time, resume), the entry before
-- that, 1 to create the stream, the server, an entry that was there (0-0: none).
-- Returns what it found: `found`, `back` (found, and the end of the stream is gone), `made`, `trimmed` (made, and entries at the beginning are gone), `missing`,
-- `type` and the type, `patterns` and those of the group.
local stream, group, how, before = KEYS[1], ARGV[1], ARGV[3], ARGV[4]

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

local kind = redis.call('TYPE', stream).ok
if kind == 'none' then
    if ARGV[5] ~= '1' then return { 'missing' } end
    redis.call('XGROUP', 'CREATE', stream, group, how == 'time' and before or '0', 'MKSTREAM')
    redis.call('HSET', KEYS[2], group, ARGV[2])
    redis.call('HSET', KEYS[3], group, ARGV[6])
    return { 'made' }
end
if kind ~= 'stream' then return { 'type', kind } end

for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(info, 'name') == group then
        local patterns = redis.call('HGET', KEYS[2], group)
        if patterns and patterns ~= ARGV[2] then return { 'patterns', patterns } end
        -- A group of another program is taken over. Without memory, it is later.
        if not patterns then redis.pcall('HSET', KEYS[2], group, ARGV[2]) end
        if ARGV[7] == '0-0' then return { 'found' } end
        local has = redis.call('XINFO', 'STREAM', stream)
        local first = field(has, 'first-entry')
        -- What was removed stood at the beginning, and has been counted.
        local is_back = less(field(has, 'last-generated-id'), ARGV[7]) or
            first and less(first[1], ARGV[7]) and not redis.call('XRANGE', stream, ARGV[7], ARGV[7])[1]
        return { is_back and 'back' or 'found' }
    end
end

local info = redis.call('XINFO', 'STREAM', stream)
local added, length = field(info, 'entries-added'), field(info, 'length')
local first, last = field(info, 'first-entry'), field(info, 'last-generated-id')
first = first and first[1]
local create = { 'XGROUP', 'CREATE', stream, group }
local outcome = 'made'
if how == 'new' then
    create[5], create[6], create[7] = last, 'ENTRIESREAD', added
elseif how == 'earliest' then
    create[5], create[6], create[7] = '0', 'ENTRIESREAD', added - length
else
    -- Beyond the end, a sequence is the next entry. A time is itself.
    if how == 'sequence' and less(last, before) then before = last end
    create[5] = before
    if not less(before, last) then
        if before == last then create[6], create[7] = 'ENTRIESREAD', added end
    elseif length == 0 or less(before, first) then
        create[6], create[7] = 'ENTRIESREAD', added - length
        if how == 'sequence' and added > length then outcome = 'trimmed' end
    end
end
redis.call(unpack(create))
redis.call('HSET', KEYS[2], group, ARGV[2])
redis.call('HSET', KEYS[3], group, ARGV[6])
return { outcome }
