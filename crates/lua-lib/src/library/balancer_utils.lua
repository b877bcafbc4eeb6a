-- What the libraries of lua-resty-balancer share.
local pairs, tonumber = pairs, tonumber
local new_tab, nkeys = require "table.new", require "table.nkeys"

return {
    name = "balancer-utils",
    version = "0.03",
    new_tab = new_tab,
    nkeys = nkeys,
    copy = function(nodes)
        local copied = new_tab(0, nkeys(nodes))
        for id, weight in pairs(nodes) do
            copied[id] = tonumber(weight)
        end
        return copied
    end,
}
