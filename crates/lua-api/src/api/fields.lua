local b = ...
local rawset, setmetatable = rawset, setmetatable
local getters, setters = {}, {}
setmetatable(b.ngx, {
    getters = getters,
    setters = setters,
    __index = function(_, k)
        local get = getters[k]
        if get then
            return get()
        end
    end,
    __newindex = function(t, k, v)
        local set = setters[k]
        if set then
            return set(v)
        end
        rawset(t, k, v)
    end,
})
