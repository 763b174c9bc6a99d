-- Puts a job at the end of the queue, unless every place is taken: then nothing is returned, else its number and its
-- rank among those that wait. A job that is there already is left as it is.
local prefix, id, places, created, order, status = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local job, waiting = prefix .. ':job:' .. id, prefix .. ':waiting'
local number = redis.call('HGET', job, 'number')
if not number then
  if redis.call('ZCARD', waiting) >= places then return false end
  number = redis.call('INCR', prefix .. ':number')
  local entry = redis.call('XADD', prefix .. ':queue', '*', 'job', id)
  redis.call('HSET', job, 'number', number, 'entry', entry, 'created', created, 'order', order,
    'state', 'queued', 'status', status, 'attempts', 0, 'last', 0)
  for i = 6, #ARGV, 2 do redis.call('HSET', job .. ':pictures', ARGV[i], ARGV[i + 1]) end
  redis.call('ZADD', waiting, number, id)
end
return { tonumber(number), redis.call('ZRANK', waiting, id) }
