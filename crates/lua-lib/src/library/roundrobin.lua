-- Weighted round robin (README of lua-resty-balancer): in each round a node's turn comes when its weight reaches the current one,
-- which goes down by the greatest common divisor.
local next, error, random, max = next, error, math.random, math.max
local utils = require "resty.balancer.utils"

local roundrobin = {}

local function divisor(a, b)
    while b ~= 0 do
        a, b = b, a % b
    end
    return a
end

-- Looks at the weights again after a change.
local function survey(self)
    local nodes = self.nodes
    local first, highest = next(nodes)
    if not first then
        error("empty nodes")
    end
    local common = highest
    for _, weight in next, nodes, first do
        common, highest = divisor(common, weight), max(highest, weight)
    end
    self.only_key = next(nodes, first) == nil and first or nil
    self.gcd, self.max_weight = common, highest
end

-- A start that differs between workers, so that they do not all begin with the same node.
function roundrobin.reinit(self, nodes)
    self.nodes = utils.copy(nodes)
    survey(self)
    self.cw = self.max_weight
    local id
    for _ = 1, random(utils.nkeys(nodes)) do
        id = next(self.nodes, id)
    end
    self.last_id = id
end

local function changed(self)
    survey(self)
    if self.cw > self.max_weight then
        self.cw = self.max_weight
    end
end

function roundrobin.delete(self, id)
    self.nodes[id] = nil
    if id == self.last_id then
        self.last_id = nil
    end
    changed(self)
end

function roundrobin.find(self)
    if self.only_key ~= nil then
        return self.only_key
    end
    local nodes, id, current = self.nodes, self.last_id, self.cw
    while true do
        local weight
        id, weight = next(nodes, id)
        if id == nil then
            current = current - self.gcd
            if current <= 0 then
                current = self.max_weight
            end
        elseif weight >= current then
            self.cw, self.last_id = current, id
            return id
        end
    end
end

return utils.complete(roundrobin, changed)
