-- Smooth weighted round robin, as nginx balances (README of lua-resty-balancer).
local pairs, random = pairs, math.random
local utils = require "resty.balancer.utils"

local swrr = {}

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

function swrr.reinit(self, nodes)
    self.nodes, self.current_weights = utils.copy(nodes), {}
    for _ = 1, random(utils.nkeys(nodes)) do
        self:find()
    end
end

function swrr.delete(self, id)
    self.nodes[id], self.current_weights[id] = nil, nil
end

return utils.complete(swrr, function() end)
