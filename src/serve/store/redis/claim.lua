-- Starts the next attempt at a job that was delivered to a node: makes the node its owner and returns the job's fields,
-- or nothing if the job has ended. Reports of earlier attempts are rejected from now on.
local prefix, id, entry, node = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local job, queue = prefix .. ':job:' .. id, prefix .. ':queue'
local state = redis.call('HGET', job, 'state')
if state ~= 'queued' and state ~= 'running' then
  redis.call('XACK', queue, 'engines', entry)
  redis.call('XDEL', queue, entry)
  return false
end
redis.call('HINCRBY', job, 'attempts', 1)
redis.call('HSET', job, 'state', 'running', 'node', node)
redis.call('ZREM', prefix .. ':waiting', id)
redis.call('SADD', prefix .. ':running', id)
redis.call('DEL', job .. ':news', job .. ':results')
redis.call('PUBLISH', prefix .. ':bell', '')
local fields = redis.call('HMGET', job, 'number', 'created', 'order', 'status', 'attempts', 'cancel')
fields[7] = redis.call('HGETALL', job .. ':pictures')
return fields
