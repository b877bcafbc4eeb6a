local b = ...
local rawset, setmetatable = rawset, setmetatable
local getters, setters = {}, {}
b.G.package.loaded["resty.core.misc"] = {
    _VERSION = "0.1.33",
    register_ngx_magic_key_getter = function(name, get)
        getters[name] = get
    end,
    register_ngx_magic_key_setter = function(name, set)
        setters[name] = set
    end,
}
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
