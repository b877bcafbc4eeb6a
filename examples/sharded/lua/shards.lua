-- Which Redis server has which customers, and what happens when one dies.
local cjson = require "cjson.safe"
local redis = require "resty.redis"
local resty_chash = require "resty.chash"
local postgres = require "postgres"
local nodes = require "nodes"

local dict = ngx.shared.shards
-- A primary that misses so many looks in a row is replaced.
local PATIENCE = 3

local shards = {}

-- A business key belongs to one shard, whichever servers that has.
local names = {}
for name in pairs(nodes.shards) do
    names[name] = 1
end
local ring = resty_chash:new(names)

function shards.connect(address)
    local host, port = address:match("^(.*):(%d+)$")
    local red = redis:new()
    red:set_timeouts(200, 500, 500)
    local ok, err = red:connect(host, tonumber(port))
    if not ok then
        return nil, err
    end
    return red
end

function shards.done(red)
    red:set_keepalive(10000, 16)
end

-- The servers of a customer's shard: `primary`, `replica`, `epoch`.
function shards.of(customer)
    local name = ring:find(customer)
    local map = dict:get(name)
    return map and cjson.decode(map) or nodes.shards[name]
end

-- "master" or "slave", nothing if it does not answer.
local function role(address)
    local red, err = shards.connect(address)
    if not red then
        return nil, err
    end
    local found, err = red:role()
    if not found then
        red:close()
        return nil, err
    end
    return found[1], red
end

local function make(address, red, ...)
    local ok, err = red:replicaof(...)
    ngx.log(ngx.WARN, address, " replicaof ", (...), ": ", ok or err)
end

-- Brings servers to what the map says: it may have been changed by another node, or a server may have come back.
local function arrange(map)
    local found, red = role(map.primary)
    if found == "slave" then
        make(map.primary, red, "no", "one")
    end
    if found then
        shards.done(red)
    end
    local other, second = role(map.replica)
    if other == "master" and found then
        local host, port = map.primary:match("^(.*):(%d+)$")
        make(map.replica, second, host, port)
    end
    if other then
        shards.done(second)
    end
    return found, other
end

local function look(name)
    local found, err = postgres.run(nodes.postgres, "SELECT primary_at, replica_at, epoch FROM shards WHERE name = $1", name)
    if not found or not found[1] then
        return nil, err or "no such shard"
    end
    local map = { primary = found[1][1], replica = found[1][2], epoch = found[1][3] }
    dict:set(name, cjson.encode(map))
    local primary, replica = arrange(map)
    if primary then
        dict:set("misses:" .. name, 0)
        return true
    end
    if dict:incr("misses:" .. name, 1, 0) < PATIENCE or not replica then
        return true
    end
    -- Of all nodes that see it, one changes the row: the epoch is the same for the first only.
    local changed, err = postgres.run(nodes.postgres,
        "UPDATE shards SET primary_at = replica_at, replica_at = primary_at, epoch = epoch + 1 WHERE name = $1 AND epoch = $2 RETURNING epoch",
        name, map.epoch)
    if changed and changed[1] then
        ngx.log(ngx.WARN, "shard ", name, ": ", map.replica, " is the primary of epoch ", changed[1][1])
    end
    return changed, err
end

local function watch(premature)
    if premature then
        return
    end
    for name, at in pairs(nodes.shards) do
        local ok, err = true, nil
        if not dict:get(name) then
            ok, err = postgres.run(nodes.postgres,
                "INSERT INTO shards (name, primary_at, replica_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", name, at.primary, at.replica)
        end
        if ok then
            ok, err = look(name)
        end
        if not ok then
            ngx.log(ngx.WARN, "shard ", name, ": ", err)
        end
    end
end

function shards.start()
    if ngx.worker.id() == 0 then
        assert(ngx.timer.at(0, watch))
        assert(ngx.timer.every(0.3, watch))
    end
end

function shards.show()
    for name in pairs(nodes.shards) do
        ngx.say(name, " ", dict:get(name) or "unknown")
    end
end

return shards
