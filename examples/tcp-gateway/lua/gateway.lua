-- Which service a client wants is seen in its first byte.
local balancer = require "ngx.balancer"

local _M = {}

local services = {
    { name = "web", first = "[A-Z]", { "127.0.0.1", 8443 } },
    { name = "store", first = "%*", { "127.0.0.1", 8081 }, { "127.0.0.1", 8082 } },
}

local function find(byte)
    for _, service in ipairs(services) do
        if byte:find("^" .. service.first) then
            return service
        end
    end
end

-- Before anything is chosen: the byte stays where it is, and the server behind reads it again.
function _M.look()
    local byte, err = ngx.req.socket():peek(1)
    if not byte then
        ngx.log(ngx.INFO, "a client that says nothing: ", err)
        return ngx.exit(ngx.ERROR)
    end
    local service = find(byte)
    if not service then
        ngx.log(ngx.WARN, "nobody speaks what begins with byte ", byte:byte())
        return ngx.exit(403)
    end
    ngx.ctx.service = service
    ngx.var.service = service.name
end

-- The service's servers take turns, over all workers; one that does not answer is followed by the next.
function _M.balance()
    local service = ngx.ctx.service
    if not balancer.get_last_failure() then
        ngx.ctx.turn = ngx.shared.counts:incr(service.name, 1, 0)
        if #service > 1 then
            assert(balancer.set_more_tries(#service - 1))
        end
    else
        ngx.ctx.turn = ngx.ctx.turn + 1
    end
    local server = service[ngx.ctx.turn % #service + 1]
    assert(balancer.set_current_peer(server[1], server[2]))
end

return _M
