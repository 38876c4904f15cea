-- Acknowledges what a member still has.
-- KEYS: the stream.
-- ARGV: the group, the member, its lease (ms), how often the entries were delivered, 1 to look at each of
-- them, the first and the last of them, then the entries.
-- Returns how many were acknowledged. If it looked at each: 1 for each that it had, and 0 for each that
-- came too late.
local stream, group, me, lease = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local first, last = ARGV[6], ARGV[7]
local FROM, MANY = 8, 2147483647

-- Whether no other consumer has anything between the first and the last, and all that the member has there
-- is within its lease. It costs less than a look at each, unless there are many consumers.
local function is_own()
    local consumers = redis.call('XPENDING', stream, group)[4] or {}
    if #consumers * 4 > #ARGV - FROM then return false end
    for _, it in ipairs(consumers) do
        if it[1] ~= me and redis.call('XPENDING', stream, group, first, last, 1, it[1])[1] then
            return false
        end
    end
    return not redis.call('XPENDING', stream, group, 'IDLE', lease, first, last, 1, me)[1]
end

if ARGV[5] ~= '1' and is_own() then
    return redis.call('XACK', stream, group, unpack(ARGV, FROM))
end
local count, has = tonumber(ARGV[4]), {}
for _, it in ipairs(redis.call('XPENDING', stream, group, first, last, MANY, me)) do
    has[it[1]] = it[4] == count and it[3] < lease
end
local results, own = {}, {}
for at = FROM, #ARGV do
    local entry = ARGV[at]
    if has[entry] then own[#own + 1] = entry end
    results[#results + 1] = has[entry] and 1 or 0
end
if own[1] then redis.call('XACK', stream, group, unpack(own)) end
return results
