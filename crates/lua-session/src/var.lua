local b = ...
local C, cx, text, ngx = b.C, b.cx, b.text, b.ngx
local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local var_get, var_set, capture = C.var_get, C.var_set, C.capture
local var_number, var_at = C.var_number, C.var_at

-- Numbers of the names that were asked for.
local numbers = {}

local function get(_, name)
    local rc
    local number = numbers[name]
    if number then
        rc = var_at(cx, number)
    elseif type(name) == "string" then
        number = var_number(cx, name, #name)
        if number >= 0 then
            numbers[name] = number
        end
        rc = var_get(cx, name, #name)
    elseif type(name) == "number" then
        rc = capture(cx, name)
    else
        error("bad variable name", 2)
    end
    if rc == K.FOUND then
        return text()
    end
    if rc < 0 then
        error(text(), 2)
    end
    return nil
end

local function set(_, name, value)
    if type(name) ~= "string" then
        error("bad variable name", 2)
    end
    local rc
    if value == nil then
        rc = var_set(cx, name, #name, "", 0, 0)
    else
        if type(value) ~= "string" then
            value = tostring(value)
        end
        rc = var_set(cx, name, #name, value, #value, 1)
    end
    if rc < 0 then
        error(text(), 2)
    end
end

ngx.var = setmetatable({}, { __index = get, __newindex = set })
b.G.package.loaded["resty.core.var"] = { version = "0.1.33" }
