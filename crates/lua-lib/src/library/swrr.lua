-- Smooth weighted round robin, as nginx balances (README of lua-resty-balancer).
local pairs, tonumber, setmetatable, random = pairs, tonumber, setmetatable, math.random
local utils = require "resty.balancer.utils"

local swrr = {}
local meta = { __index = swrr }

function swrr.find(self)
    local current, total, best, highest = self.current_weights, 0, nil, 0
    for id, weight in pairs(self.nodes) do
        local now = (current[id] or 0) + weight
        current[id], total = now, total + weight
        if best == nil or now > highest then
            best, highest = id, now
        end
    end
    if best ~= nil then
        current[best] = highest - total
    end
    return best
end

swrr.next = swrr.find

function swrr.reinit(self, nodes)
    self.nodes, self.current_weights = utils.copy(nodes), {}
    for _ = 1, random(utils.nkeys(nodes)) do
        self:find()
    end
end

function swrr.new(_, nodes)
    local self = setmetatable({}, meta)
    self:reinit(nodes)
    return self
end

function swrr.delete(self, id)
    self.nodes[id], self.current_weights[id] = nil, nil
end

function swrr.decr(self, id, weight)
    weight = tonumber(weight) or 1
    local old = self.nodes[id]
    if not old then
        return
    elseif old <= weight then
        return self:delete(id)
    end
    self.nodes[id] = old - weight
end

function swrr.incr(self, id, weight)
    self.nodes[id] = (self.nodes[id] or 0) + (tonumber(weight) or 1)
end

function swrr.set(self, id, weight)
    local change = (tonumber(weight) or 0) - (self.nodes[id] or 0)
    if change > 0 then
        self:incr(id, change)
    elseif change < 0 then
        self:decr(id, -change)
    end
end

return swrr
