-- Enqueues a job. Returns its number and its rank in the queue, or nothing if the queue is full. A job that exists is left
-- as it is, so that the script can be repeated.
local prefix, id, capacity, created, spec, status = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local job, waiting = prefix .. ':job:' .. id, prefix .. ':waiting'
local number = redis.call('HGET', job, 'number')
if not number then
  if redis.call('ZCARD', waiting) >= capacity then return false end
  number = redis.call('INCR', prefix .. ':number')
  local entry = redis.call('XADD', prefix .. ':queue', '*', 'job', id)
  redis.call('HSET', job, 'number', number, 'entry', entry, 'created', created, 'order', spec,
    'state', 'queued', 'status', status, 'attempts', 0, 'last', 0)
  for i = 6, #ARGV, 2 do redis.call('HSET', job .. ':pictures', ARGV[i], ARGV[i + 1]) end
  redis.call('ZADD', waiting, number, id)
end
return { tonumber(number), redis.call('ZRANK', waiting, id) }
