
-- What follows continues prelude.lua.
-- Globals of a handler: the slot's own table in front of the real ones.
-- A name is told of once, as where it stays: a log with a line for each request says no more. Code that makes up names is told of each time.
local told, count, MOST = {}, 0, 1000

local function created(t, k, v)
    rawset(t, k, v)
    k = tostring(k)
    if cx.phase == 0 or band(cx.phase, b.starting) ~= 0 or told[k] then
        return
    elseif count < MOST then
        told[k], count = true, count + 1
    end
    report(k, traceback("", 2))
end

-- Who walks a handler's globals, to copy them into a table of their own say, finds the real ones too.
local rawget = rawget
local function each(own)
    local key, behind
    return function()
        local value
        if not behind then
            key, value = next(own, key)
            if key ~= nil then
                return key, value
            end
            behind = true
        end
        repeat
            key, value = next(G, key)
        until key == nil or rawget(own, key) == nil
        return key, value
    end
end

local env_meta = { __index = G, __newindex = created, __pairs = each }

-- A handler that gives its globals a metatable keeps the real ones: they are looked at before the handler's `__index`, as
-- where both are one table.
local getmetatable, real_metatable, force_metatable = getmetatable, debug.getmetatable, debug.setmetatable
local given = setmetatable({}, { __mode = "k" })

local function in_front_of(user)
    local meta = { __metatable = user, __pairs = each }
    for name, value in next, user do
        meta[name] = value
    end
    function meta.__index(t, name)
        local value = G[name]
        if value ~= nil then
            return value
        end
        local index = user.__index
        if type(index) == "function" then
            return index(t, name)
        end
        return index and index[name]
    end
    function meta.__newindex(t, name, value)
        local new = user.__newindex
        if new == nil then
            rawset(t, name, value)
        elseif type(new) == "function" then
            return new(t, name, value)
        else
            new[name] = value
        end
    end
    return meta
end

-- What a table that has a metatable needs: answers false for one that is nobody's globals.
local function change(t, old, meta)
    local mine = given[t]
    if old ~= env_meta and not mine then
        local real = real_metatable(t)
        if real and real.__metatable ~= nil then
            error("cannot change a protected metatable", 3)
        end
        return false
    elseif mine and mine.__metatable ~= nil then
        error("cannot change a protected metatable", 3)
    end
    given[t] = meta or {}
    force_metatable(t, in_front_of(meta or {}))
    return true
end

function G.setmetatable(t, meta)
    if type(t) ~= "table" then
        error("bad argument #1 to 'setmetatable' (table expected, got " .. type(t) .. ")", 2)
    elseif meta ~= nil and type(meta) ~= "table" then
        error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
    end
    local old = getmetatable(t)
    if old ~= nil and change(t, old, meta) then
        return t
    end
    setmetatable(t, meta)
    return t
end

-- A module's globals are everybody's.
setmetatable(G, { __newindex = created })

return {
    factory = factory, env_meta = env_meta, set_path = set_path, preload = preload, supply = supply, glue = glue,
    explain = explain,
}
