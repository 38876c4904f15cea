-- Adds an entry, unless its id is known.
-- KEYS: the stream, the key of the id.
-- ARGV: how long the id is known (ms), then what follows the stream in `XADD`.
-- Returns the entry and whether it was there already, or nothing if there is no stream.
local seen = redis.call('GET', KEYS[2])
if seen then return { seen, 1 } end
local entry = redis.call('XADD', KEYS[1], unpack(ARGV, 2))
if not entry then return {} end
-- The entry is there: that it is not known later must not make this an error.
redis.pcall('SET', KEYS[2], entry, 'PX', ARGV[1])
return { entry, 0 }
