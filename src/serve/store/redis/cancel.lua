-- Cancels a queued job with its final event; asks the owner of a running one to cancel it. Returns 1 if this ended the job.
local prefix, id, status, at, number, record = KEYS[1], unpack(ARGV, 1, 5)
local job, queue = prefix .. ':job:' .. id, prefix .. ':queue'
local known = redis.call('HMGET', job, 'state', 'entry', 'last')
if known[1] == 'running' then
  redis.call('HSET', job, 'cancel', 1)
  redis.call('PUBLISH', prefix .. ':bell', '-' .. id)
end
if known[1] ~= 'queued' then return 0 end
redis.call('HSET', job, 'state', 'cancelled', 'status', status, 'last', number)
redis.call('XADD', job .. ':news', number .. '-0', 'record', record)
redis.call('XACK', queue, 'engines', known[2])
redis.call('XDEL', queue, known[2])
redis.call('ZREM', prefix .. ':waiting', id)
redis.call('ZADD', prefix .. ':ended', at, id)
redis.call('HSET', prefix .. ':bytes', id, 0)
redis.call('DEL', job .. ':pictures')
redis.call('PUBLISH', prefix .. ':bell', id)
redis.call('PUBLISH', prefix .. ':bell', '')
return 1
