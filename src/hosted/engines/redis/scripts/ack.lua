-- Acknowledges what a member still has.
-- KEYS: the stream.
-- ARGV: the group, the member, its lease (ms), how often each entry was delivered, then the entries in their
-- order.
-- Returns 1 if it had all of them. Else 1 for each that it had, and 0 for each that came too late.
local group, me, lease, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local own = redis.call('XPENDING', KEYS[1], group, ARGV[5], ARGV[#ARGV], 2147483647, me)
local at = 5
for _, it in ipairs(own) do
    if it[1] == ARGV[at] then
        if it[4] ~= count or it[3] >= lease then break end
        at = at + 1
    end
end
if at > #ARGV then
    redis.call('XACK', KEYS[1], group, unpack(ARGV, 5))
    return 1
end
local has = {}
for _, it in ipairs(own) do
    has[it[1]] = it[4] == count and it[3] < lease
end
local results, ack = {}, { 'XACK', KEYS[1], group }
for at = 5, #ARGV do
    if has[ARGV[at]] then
        ack[#ack + 1] = ARGV[at]
        results[#results + 1] = 1
    else
        results[#results + 1] = 0
    end
end
if #ack > 3 then redis.call(unpack(ack)) end
return results
