-- Adds an entry, unless its id is known.
-- KEYS: the stream, the key of the id.
-- ARGV: how long the id is known (ms), the most entries (0: no limit), 1 to create the stream, then the fields.
-- Returns the entry and whether it was there already, or nothing if there is no stream.
local seen = redis.call('GET', KEYS[2])
if seen then return { seen, 1 } end
local add = { 'XADD', KEYS[1] }
if ARGV[3] ~= '1' then add[#add + 1] = 'NOMKSTREAM' end
if ARGV[2] ~= '0' then
    add[#add + 1] = 'MAXLEN'
    add[#add + 1] = '~'
    add[#add + 1] = ARGV[2]
end
add[#add + 1] = '*'
for at = 4, #ARGV do add[#add + 1] = ARGV[at] end
local entry = redis.call(unpack(add))
if not entry then return {} end
-- The entry is there: that it is not known later must not make this an error.
redis.pcall('SET', KEYS[2], entry, 'PX', ARGV[1])
return { entry, 0 }
