-- What the libraries of lua-resty-balancer share.
local pairs, tonumber, setmetatable = pairs, tonumber, setmetatable
local new_tab, nkeys = require "table.new", require "table.nkeys"

-- Gives a library whose objects keep weights in `nodes`, and have `reinit`, `delete` and `find`, the rest. `changed(self, id, old, new)` is
-- called when a weight is another one.
local function complete(library, changed)
    local meta = { __index = library }

    function library.new(_, nodes)
        local self = setmetatable({}, meta)
        self:reinit(nodes)
        return self
    end

    function library.incr(self, id, weight)
        local old = self.nodes[id] or 0
        local new = old + (tonumber(weight) or 1)
        self.nodes[id] = new
        changed(self, id, old, new)
    end

    function library.decr(self, id, weight)
        local old = self.nodes[id]
        if not old then
            return
        end
        local new = old - (tonumber(weight) or 1)
        if new <= 0 then
            return self:delete(id)
        end
        self.nodes[id] = new
        changed(self, id, old, new)
    end

    function library.set(self, id, weight)
        local change = (tonumber(weight) or 0) - (self.nodes[id] or 0)
        if change == 0 then
            return true
        elseif change > 0 then
            return self:incr(id, change)
        end
        return self:decr(id, -change)
    end

    library.next = library.next or library.find
    return library
end

return {
    name = "balancer-utils",
    version = "0.03",
    new_tab = new_tab,
    nkeys = nkeys,
    complete = complete,
    copy = function(nodes)
        local copied = new_tab(0, nkeys(nodes))
        for id, weight in pairs(nodes) do
            copied[id] = tonumber(weight)
        end
        return copied
    end,
}
