-- Writes what the owner of an attempt tells of its job and renews its lease; at the end the job leaves the queue.
-- Returns `lost` to one that is not the owner any more, `cancel` when the job is to stop, else `told`.
local prefix, id, attempt, state, status, at, bytes = KEYS[1], unpack(ARGV, 1, 6)
local job, queue, news = prefix .. ':job:' .. id, prefix .. ':queue', prefix .. ':job:' .. id .. ':news'
local known = redis.call('HMGET', job, 'attempts', 'state', 'node', 'entry', 'last', 'cancel')
if known[1] ~= attempt then return 'lost' end
if known[2] ~= 'running' then return known[2] == state and 'told' or 'lost' end
local gone = tonumber(ARGV[7])
for i = 8, 7 + gone do redis.call('XDEL', news, ARGV[i] .. '-0') end
local last = tonumber(known[5])
for i = 8 + gone, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number > last then
    redis.call('XADD', news, ARGV[i] .. '-0', 'record', ARGV[i + 1])
    last = number
  end
end
redis.call('HSET', job, 'state', state, 'status', status, 'last', last)
if state == 'running' then
  redis.call('XCLAIM', queue, 'engines', known[3], 0, known[4], 'JUSTID')
else
  redis.call('XACK', queue, 'engines', known[4])
  redis.call('XDEL', queue, known[4])
  redis.call('SREM', prefix .. ':running', id)
  redis.call('ZADD', prefix .. ':ended', at, id)
  redis.call('HSET', prefix .. ':bytes', id, bytes)
  redis.call('DEL', job .. ':pictures')
end
redis.call('PUBLISH', prefix .. ':bell', id)
return known[6] and 'cancel' or 'told'
