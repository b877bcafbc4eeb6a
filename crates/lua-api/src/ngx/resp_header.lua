local b = ...
local C, R, cx, text, ngx, G = b.C, b.R, b.cx, b.text, b.ngx, b.G
local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local rawget, lower, find, gsub = rawget, string.lower, string.find, string.gsub
local resp_set, resp_get, values = C.resp_set, C.resp_get, R.resp_values
local loaded = G.package.loaded

local function store(key, value, how)
    if resp_set(cx, key, #key, value, #value, how) < 0 then
        error(text(), 3)
    end
end

local function set(_, key, value, add)
    if type(key) ~= "string" then
        key = tostring(key)
    end
    if type(value) == "string" then
        return store(key, value, add and 1 or 0), nil
    end
    if value == nil then
        if add then
            error("invalid header value", 3)
        end
        return store(key, "", 0), nil
    end
    if type(value) ~= "table" then
        return store(key, tostring(value), add and 1 or 0), nil
    end
    local n = #value
    if n == 0 then
        if not add then
            store(key, "", 0)
        end
        return
    end
    for i = 1, n do
        local s = value[i]
        if type(s) ~= "string" then
            s = tostring(s)
            value[i] = s
        end
        store(key, s, (add or i > 1) and 1 or 0)
    end
end

local function get(_, key)
    if type(key) ~= "string" then
        key = tostring(key)
    end
    local n = resp_get(cx, key, #key)
    if n == 1 then
        return text()
    end
    if n == 0 then
        return nil
    end
    if n < 0 then
        error(text(), 2)
    end
    return (values(key))
end

ngx.header = setmetatable({}, { __index = get, __newindex = set })

-- Tables of headers find `user_agent` and `User-Agent` under `user-agent`.
local fields = {
    __index = function(t, key)
        if type(key) == "number" then
            key = tostring(key)
        elseif type(key) ~= "string" then
            return nil
        end
        return rawget(t, (gsub(lower(key), "_", "-")))
    end,
}

local headers = R.resp_headers
local function decorate(raw, t, truncated)
    if not raw then
        setmetatable(t, fields)
    end
    return t, truncated
end

function ngx.resp.get_headers(max, raw)
    local t, truncated = headers(max, raw)
    if truncated then
        return decorate(raw, t, truncated)
    end
    return (decorate(raw, t))
end

local version = "0.1.33"
local resp = { version = version }
function resp.add_header(key, value)
    set(nil, key, value, true)
end
function resp.set_status(status, reason)
    if type(status) ~= "number" then
        status = G.tonumber(status)
    end
    if C.resp_status(cx, status, reason, #reason) < 0 then
        error(text(), 2)
    end
end
function resp.bypass_if_checks()
    if C.resp_unconditional(cx) < 0 then
        error(text(), 2)
    end
end
loaded["ngx.resp"] = resp
loaded["resty.core.response"] = { version = version, set_resp_header = set, bypass_if_checks = resp.bypass_if_checks }
