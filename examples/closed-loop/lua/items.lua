-- Items: read from memory, written through to Redis.
local redis = require "resty.redis"
local resty_lock = require "resty.lock"
local lrucache = require "resty.lrucache"

local SOCKET = "unix:/run/redis/redis.sock"
local PREFIX = "item:"

local dict = ngx.shared.items
-- This worker's own copies: a value and the version that it was read with.
local near = assert(lrucache.new(1000))

local items = {}

local function connect()
    local red = redis:new()
    red:set_timeouts(100, 500, 500)
    local ok, err = red:connect(SOCKET)
    if not ok then
        return nil, err
    end
    return red
end

-- Loads everything from Redis; what has been written meanwhile is newer and stays.
local function load()
    local red, err = connect()
    if not red then
        return nil, err
    end
    local cursor = "0"
    repeat
        local page, err = red:scan(cursor, "match", PREFIX .. "*", "count", 500)
        if not page then
            return nil, err
        end
        cursor = page[1]
        local keys = page[2]
        if #keys > 0 then
            local values, err = red:mget(unpack(keys))
            if not values then
                return nil, err
            end
            for i, key in ipairs(keys) do
                if values[i] ~= ngx.null then
                    local ok, err = dict:safe_add(key:sub(#PREFIX + 1), values[i])
                    if not ok and err ~= "exists" then
                        return nil, err
                    end
                end
            end
        end
    until cursor == "0"
    red:set_keepalive(10000, 16)
    return true
end

local function load_until_done(premature)
    if premature or items.is_ready() then
        return
    end
    local ok, err = load()
    if ok then
        dict:set("\0ready", true)
        return
    end
    ngx.log(ngx.WARN, "not loaded yet: ", err)
    assert(ngx.timer.at(0.2, load_until_done))
end

function items.start()
    if ngx.worker.id() == 0 then
        assert(ngx.timer.at(0, load_until_done))
    end
end

function items.is_ready()
    return dict:get("\0ready") == true
end

-- The versions of all items together: whoever changes one counts it up, and copies in workers that are older are read again.
local function get(name)
    local version = dict:get("\0version") or 0
    local copy = near:get(name)
    if copy and copy.version == version then
        return copy.value, "near"
    end
    local value = dict:get(name)
    if value then
        near:set(name, { version = version, value = value })
    end
    return value, "far"
end

-- One after the other for each item, so that Redis and the dictionary have the same last value.
local function change(name, write, apply)
    local lock = assert(resty_lock:new("locks", { timeout = 2, exptime = 5 }))
    local ok, err = lock:lock(name)
    if not ok then
        return nil, err
    end
    local red, result
    red, err = connect()
    if red then
        result, err = write(red)
        if result then
            red:set_keepalive(10000, 16)
            result, err = apply()
            dict:incr("\0version", 1, 0)
        else
            red:close()
        end
    end
    lock:unlock()
    return result, err
end

local function put(name, value)
    return change(name, function(red)
        return red:set(PREFIX .. name, value)
    end, function()
        return dict:safe_set(name, value)
    end)
end

local function delete(name)
    return change(name, function(red)
        return red:del(PREFIX .. name)
    end, function()
        dict:delete(name)
        return true
    end)
end

local function changed(ok, err)
    if not ok then
        ngx.log(ngx.ERR, "not written: ", err)
        return ngx.exit(503)
    end
    return ngx.exit(204)
end

function items.serve()
    local name = ngx.var.uri:match("^/items/([%w_-]+)$")
    if not name then
        return ngx.exit(404)
    end
    if not items.is_ready() then
        ngx.header["Retry-After"] = 1
        return ngx.exit(503)
    end
    local method = ngx.req.get_method()
    if method == "GET" then
        local value, from = get(name)
        if not value then
            return ngx.exit(404)
        end
        ngx.header["X-From"] = from
        ngx.print(value)
    elseif method == "PUT" then
        ngx.req.read_body()
        return changed(put(name, ngx.req.get_body_data() or ""))
    elseif method == "DELETE" then
        return changed(delete(name))
    else
        return ngx.exit(405)
    end
end

return items
