-- Stores a result for the owner of the current attempt. Returns 1 if it was stored.
local job = KEYS[1] .. ':job:' .. ARGV[1]
local known = redis.call('HMGET', job, 'attempts', 'state')
if known[1] ~= ARGV[2] or known[2] ~= 'running' then return 0 end
redis.call('HSET', job .. ':results', ARGV[3], ARGV[4])
return 1
