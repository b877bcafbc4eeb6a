-- A fixed window for each user, counted in Redis.
local redis = require "resty.redis"

local HOST, PORT = "127.0.0.1", 6379
local LIMIT, WINDOW = 3, 60

-- Counts, and lets the key end with its window; both or neither.
local SCRIPT = [[
    local count = redis.call('incr', KEYS[1])
    if count == 1 then
        redis.call('expire', KEYS[1], ARGV[1])
    end
    return count
]]

local function count(user)
    local red = redis:new()
    red:set_timeouts(100, 100, 100)
    local ok, err = red:connect(HOST, PORT)
    if not ok then
        return nil, err
    end
    local window = math.floor(ngx.time() / WINDOW)
    local used, err = red:eval(SCRIPT, 1, "limit:" .. user .. ":" .. window, WINDOW * 2)
    if not used then
        red:close()
        return nil, err
    end
    red:set_keepalive(10000, 64)
    return used
end

local limit = {}

function limit.check(user)
    if not user then
        return ngx.exit(ngx.HTTP_UNAUTHORIZED)
    end
    local used, err = count(user)
    if not used then
        ngx.log(ngx.ERR, "no limit for ", user, ": ", err)
        return
    end
    ngx.header["X-RateLimit-Limit"] = LIMIT
    ngx.header["X-RateLimit-Remaining"] = math.max(LIMIT - used, 0)
    if used > LIMIT then
        ngx.header["Retry-After"] = WINDOW - ngx.time() % WINDOW
        return ngx.exit(ngx.HTTP_TOO_MANY_REQUESTS)
    end
end

return limit
