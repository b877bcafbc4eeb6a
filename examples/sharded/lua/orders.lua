-- Orders of customers: PostgreSQL has the truth, Redis what is asked for.
local postgres = require "postgres"
local shards = require "shards"
local nodes = require "nodes"

local orders = {}

-- A row and the word that Redis may not have it, both or neither.
local WRITE = [[
    WITH written AS (
        INSERT INTO orders (customer, id, body) VALUES ($1, $2, $3)
        ON CONFLICT (customer, id) DO UPDATE SET body = excluded.body, version = nextval('versions')
        RETURNING version
    )
    INSERT INTO outbox (version, customer, id) SELECT version, $1, $2 FROM written RETURNING version
]]

-- An older version never takes the place of a newer one, in whatever order they come.
local PUT = [[
    local old = redis.call('hget', KEYS[1], ARGV[1])
    if not old or tonumber(old:match('^%d+')) < tonumber(ARGV[2]) then
        redis.call('hset', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
    end
    return 1
]]

-- Writes into the customer's shard; true when the replica has it too.
local function cache(customer, id, version, body)
    local red, err = shards.connect(shards.of(customer).primary)
    if not red then
        return nil, err
    end
    local ok, err = red:eval(PUT, 1, "orders:" .. customer, id, version, body)
    if not ok then
        red:close()
        return nil, err
    end
    local copies, err = red:wait(1, 100)
    if not copies then
        red:close()
        return nil, err
    end
    shards.done(red)
    return copies >= 1, "no replica has it"
end

local function settle(version)
    return postgres.run(nodes.postgres, "DELETE FROM outbox WHERE version = $1", version)
end

-- What Redis has missed.
local function drain(premature)
    if premature then
        return
    end
    -- A younger version may have taken an order's place; that has a row of its own.
    local missed, err = postgres.run(nodes.postgres, [[
        SELECT outbox.version, orders.customer, orders.id, orders.version, orders.body FROM outbox
        JOIN orders USING (customer, id) ORDER BY outbox.version LIMIT 200
    ]])
    if not missed then
        ngx.log(ngx.WARN, "outbox: ", err)
        return
    end
    for _, row in ipairs(missed) do
        if cache(row[2], row[3], row[4], row[5]) then
            settle(row[1])
        end
    end
end

function orders.start()
    if ngx.worker.id() == 0 then
        assert(ngx.timer.every(0.5, drain))
    end
end

local function put(customer, id, body)
    local written, err = postgres.run(nodes.postgres, WRITE, customer, id, body)
    if not written then
        ngx.log(ngx.ERR, "not written: ", err)
        return ngx.exit(503)
    end
    -- From here on nothing can be lost: the rest is speed.
    local version = written[1][1]
    if cache(customer, id, version, body) then
        settle(version)
    end
    return ngx.exit(204)
end

local function from_redis(address, customer, id)
    local red, err = shards.connect(address)
    if not red then
        return nil, err
    end
    local found, err = red:hget("orders:" .. customer, id)
    if not found then
        red:close()
        return nil, err
    end
    shards.done(red)
    return found
end

local function get(customer, id)
    local shard = shards.of(customer)
    for _, at in ipairs({ "primary", "replica" }) do
        local found = from_redis(shard[at], customer, id)
        if found and found ~= ngx.null then
            return found:match("^%d+:(.*)$"), at
        elseif found then
            break
        end
    end
    local rows, err = postgres.run(nodes.postgres, "SELECT version, body FROM orders WHERE customer = $1 AND id = $2", customer, id)
    if not rows then
        return nil, err
    end
    if rows[1] then
        cache(customer, id, rows[1][1], rows[1][2])
        return rows[1][2], "source"
    end
    return nil, "not found"
end

function orders.serve()
    local customer, id = ngx.var.uri:match("^/customers/([%w_-]+)/orders/([%w_-]+)$")
    if not customer then
        return ngx.exit(404)
    end
    local method = ngx.req.get_method()
    if method == "PUT" then
        ngx.req.read_body()
        return put(customer, id, ngx.req.get_body_data() or "")
    elseif method == "GET" then
        local body, from = get(customer, id)
        if not body then
            return ngx.exit(from == "not found" and 404 or 503)
        end
        ngx.header["X-From"] = from
        ngx.print(body)
    else
        return ngx.exit(405)
    end
end

return orders
