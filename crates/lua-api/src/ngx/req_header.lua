local b = ...
local C, cx, text, ngx, G, RAISE, raised = b.C, b.cx, b.text, b.ngx, b.G, b.RAISE, b.raised
local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local rawget, lower, find, gsub = rawget, string.lower, string.find, string.gsub
local req_set, headers = C.req_set, b.N.req_headers
local loaded, req = G.package.loaded, ngx.req

-- The table finds `User_Agent` and `User-Agent` under `user-agent`.
local fields = {
    __index = function(t, key)
        if type(key) == "number" then
            key = tostring(key)
        elseif type(key) ~= "string" then
            return nil
        end
        key = lower(key)
        local value = rawget(t, key)
        if value == nil and find(key, "_", 1, true) then
            value = rawget(t, (gsub(key, "_", "-")))
        end
        return value
    end,
}

function req.get_headers(max, raw)
    local t, truncated, level = headers(max, raw)
    if t == RAISE then
        return raised(truncated, level)
    end
    if not raw then
        setmetatable(t, fields)
    end
    if truncated then
        return t, truncated
    end
    return t
end

local function store(name, value, add)
    if req_set(cx, name, #name, value, #value, add) < 0 then
        error(text(), 4)
    end
end

-- Always one frame below the function that the user called.
local function set(name, value, add)
    if name == nil then
        error("bad 'name' argument: string expected, got nil", 3)
    end
    if type(name) ~= "string" then
        name = tostring(name)
    end
    if type(value) == "string" then
        store(name, value, add)
        return
    end
    if value == nil then
        if add == 1 then
            error("bad 'value' argument: string or table expected, got nil", 3)
        end
        store(name, "", 0)
        return
    end
    if type(value) ~= "table" then
        store(name, tostring(value), add)
        return
    end
    local n = #value
    if n == 0 then
        if add == 1 then
            error("bad 'value' argument: non-empty table expected", 3)
        end
        store(name, "", 0)
        return
    end
    for i = 1, n do
        local s = value[i]
        if type(s) ~= "string" then
            s = tostring(s)
            value[i] = s
        end
        store(name, s, (add == 1 or i > 1) and 1 or 0)
    end
end

function req.set_header(name, value)
    set(name, value, 0)
end

function req.clear_header(name)
    set(tostring(name), nil, 0)
end

function req.raw_header(without_line)
    if C.raw_header(cx, without_line and 1 or 0) < 0 then
        error(text(), 2)
    end
    return text()
end

function req.http_version()
    local version = C.http_version(cx)
    if version < 0 then
        error(text(), 2)
    end
    return version
end

local version = "0.1.33"
loaded["resty.core.request"] = {
    version = version,
    set_req_header = function(name, value, override)
        set(name, value, override and 0 or 1)
    end,
}
loaded["ngx.req"] = {
    version = version,
    add_header = function(name, value)
        set(name, value, 1)
    end,
}
