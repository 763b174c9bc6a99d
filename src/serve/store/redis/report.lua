-- Writes the status and events of a running job for the owner of its current attempt and renews the lease; at the end,
-- removes the job from the queue. Returns `lost` if the attempt is outdated, `cancel` if the job is to stop, else `accepted`.
local prefix, id, attempt, state, status, at, bytes = KEYS[1], unpack(ARGV, 1, 6)
local job, queue, events = prefix .. ':job:' .. id, prefix .. ':queue', prefix .. ':job:' .. id .. ':news'
local known = redis.call('HMGET', job, 'attempts', 'state', 'node', 'entry', 'last', 'cancel')
if known[1] ~= attempt then return 'lost' end
if known[2] ~= 'running' then return known[2] == state and 'accepted' or 'lost' end
local dropped = tonumber(ARGV[7])
for i = 8, 7 + dropped do redis.call('XDEL', events, ARGV[i] .. '-0') end
local last = tonumber(known[5])
for i = 8 + dropped, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number > last then
    redis.call('XADD', events, ARGV[i] .. '-0', 'record', ARGV[i + 1])
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
return known[6] and 'cancel' or 'accepted'
