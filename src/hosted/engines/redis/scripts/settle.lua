-- Settles one delivery, if the member still has it.
-- KEYS: the stream, what is due and when, the dead letters.
-- ARGV: the group, the member, its lease (ms), the entry, how often it was delivered, 1 if it was extended,
-- the verdict (ack, retry, extend, reject), then: the delay or the time (ms), or the reason, the most dead
-- letters (0: none) and how many of the deliveries were attempts.
-- Returns 1, or 0 if it came too late, or 2 if the stream has removed the entry.
local stream, due, group, me, entry = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4]
local extended = me .. ':x'
local owner = ARGV[6] == '1' and extended or me
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local it = redis.call('XPENDING', stream, group, entry, entry, 1, owner)[1]
if not it or it[4] ~= tonumber(ARGV[5]) then return 0 end
if ARGV[6] == '1' then
    local ends = redis.call('ZSCORE', due, entry)
    if not ends or tonumber(ends) <= now then return 0 end
elseif it[3] >= tonumber(ARGV[3]) then
    return 0
end

local function hold(name, ms)
    if not redis.call('XCLAIM', stream, group, name, 0, entry, 'JUSTID')[1] then
        redis.call('ZREM', due, entry)
        return 2
    end
    redis.call('ZADD', due, now + ms, entry)
    return 1
end

local verdict = ARGV[7]
if verdict == 'retry' then return hold('tb:parked', tonumber(ARGV[8])) end
if verdict == 'extend' then return hold(extended, tonumber(ARGV[8])) end
if verdict == 'reject' and ARGV[9] ~= '0' then
    local found = redis.call('XRANGE', stream, entry, entry)[1]
    if found then
        local fields = found[2]
        -- In an entry of another program, all fields but the payload are headers.
        local ours = ''
        for at = 1, #fields, 2 do
            if fields[at] == 'v' then ours = 'h:' end
        end
        local add = { 'XADD', KEYS[3], 'MAXLEN', '~', ARGV[9], '*' }
        local says = {
            ['dead-reason'] = ARGV[8], ['dead-attempts'] = ARGV[10],
            ['dead-group'] = group, ['dead-entry'] = entry,
        }
        -- A script passes on 8,000 values at most. A dead letter with more fields is cut, and says so.
        local most, cut = 7900, 0
        for at = 1, #fields, 2 do
            local name = fields[at]
            if ours == '' or string.sub(name, 1, 2) == 'h:' then
                name = string.sub(name, #ours + 1)
            else
                name = ''
            end
            -- What an earlier group has said of it is replaced.
            if says[name] then
                -- It is said anew.
            elseif #add >= most and name ~= '' and name ~= 'payload' and name ~= 'subject' then
                cut = cut + 1
            else
                add[#add + 1] = fields[at]
                add[#add + 1] = fields[at + 1]
            end
        end
        if cut > 0 then says['dead-cut'] = cut end
        for name, value in pairs(says) do
            add[#add + 1] = ours .. name
            add[#add + 1] = value
        end
        redis.call(unpack(add))
    end
end
redis.call('XACK', stream, group, entry)
redis.call('ZREM', due, entry)
return 1
