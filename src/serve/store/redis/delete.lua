-- Deletes an ended job with all its keys.
local prefix, id = KEYS[1], ARGV[1]
local job = prefix .. ':job:' .. id
if redis.call('ZREM', prefix .. ':ended', id) == 0 then return 0 end
redis.call('HDEL', prefix .. ':bytes', id)
return redis.call('DEL', job, job .. ':pictures', job .. ':results', job .. ':news')
