-- Tables that are used again, by tag (lua-tablepool).
local new_tab, clear_tab = require "table.new", require "table.clear"
local setmetatable, error = setmetatable, error

-- How many tables of a tag are kept. After so many releases its pool is dropped: tables that are cleared keep the size they
-- once had, so now and then the large ones must go.
local KEPT, LIFE = 200, 20000
local pools = {}

local function fetch(tag, items, fields)
    local pool = pools[tag]
    local n = pool and pool.n or 0
    if n > 0 then
        local object = pool[n]
        pool[n], pool.n = nil, n - 1
        return object
    end
    return new_tab(items, fields)
end

local function release(tag, object, as_it_is)
    if not object then
        error("object empty", 2)
    end
    if not as_it_is then
        setmetatable(object, nil)
        clear_tab(object)
    end
    local pool = pools[tag]
    if not pool then
        pool = { n = 0, released = 0 }
        pools[tag] = pool
    end
    pool.released = pool.released + 1
    if pool.released >= LIFE then
        pools[tag] = nil
    elseif pool.n < KEPT then
        pool.n = pool.n + 1
        pool[pool.n] = object
    end
end

return { fetch = fetch, release = release }
