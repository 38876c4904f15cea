-- Begins the lease of a member anew, of what it still has.
-- KEYS: the stream.
-- ARGV: as those of `ack`. Returns the same.
local group, me, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local has = {}
for _, it in ipairs(redis.call('XPENDING', KEYS[1], group, ARGV[4], ARGV[5], 2147483647, me)) do
    has[it[1]] = it
end
local results = {}
for at = 6, #ARGV, 2 do
    local entry = ARGV[at]
    local it = has[entry]
    if it and it[4] == tonumber(ARGV[at + 1]) and it[3] < lease then
        redis.call('XCLAIM', KEYS[1], group, me, 0, entry, 'JUSTID')
        results[#results + 1] = 1
    else
        results[#results + 1] = 0
    end
end
return results
