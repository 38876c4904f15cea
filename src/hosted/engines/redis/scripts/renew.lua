-- Begins the lease of a member anew, of what it still has.
-- KEYS: the stream.
-- ARGV: as those of `ack`. It looks at each.
local group, me, lease, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local has = {}
for _, it in ipairs(redis.call('XPENDING', KEYS[1], group, ARGV[6], ARGV[7], 2147483647, me)) do
    has[it[1]] = it[4] == count and it[3] < lease
end
local results = {}
for at = 8, #ARGV do
    local entry = ARGV[at]
    if has[entry] then
        redis.call('XCLAIM', KEYS[1], group, me, 0, entry, 'JUSTID')
        results[#results + 1] = 1
    else
        results[#results + 1] = 0
    end
end
return results
