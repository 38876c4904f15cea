-- Acknowledges what a member still has.
-- KEYS: the stream.
-- ARGV: the group, the member, its lease (ms), the first and the last of the entries, then each entry and
-- how often it was delivered.
-- Returns 1 for each that it had, and 0 for each that came too late.
local group, me, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local has = {}
for _, it in ipairs(redis.call('XPENDING', KEYS[1], group, ARGV[4], ARGV[5], 2147483647, me)) do
    has[it[1]] = it
end
local results, ack = {}, { 'XACK', KEYS[1], group }
for at = 6, #ARGV, 2 do
    local it = has[ARGV[at]]
    if it and it[4] == tonumber(ARGV[at + 1]) and it[3] < lease then
        ack[#ack + 1] = ARGV[at]
        results[#results + 1] = 1
    else
        results[#results + 1] = 0
    end
end
if #ack > 3 then redis.call(unpack(ack)) end
return results
