local b = ...
local C, cx, text, G = b.C, b.cx, b.text, b.G
local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local ndk_knows, ndk_call = C.ndk_knows, C.ndk_call

local set_var = setmetatable({}, {
    __index = function(_, name)
        if type(name) ~= "string" then
            name = tostring(name)
        end
        local known = ndk_knows(cx, name, #name)
        if known < 0 then
            error(text(), 2)
        end
        if known ~= K.DONE then
            error('ndk.set_var: directive "' .. name .. '" not found or does not use ndk_set_var_value', 2)
        end
        return function(value)
            if type(value) ~= "string" then
                value = tostring(value)
            end
            local rc = ndk_call(cx, name, #name, value, #value)
            if rc < 0 then
                error(text(), 2)
            end
            if rc == K.REFUSED then
                error("calling directive " .. name .. " failed with code -1", 2)
            end
            return text()
        end
    end,
    __newindex = function()
        error("not allowed", 2)
    end,
})
G.ndk = { set_var = set_var }
G.package.loaded.ndk = G.ndk
