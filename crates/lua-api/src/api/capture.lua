local b = ...
local R, ngx = b.R, b.ngx
local error, select, type, tostring, getmetatable, setmetatable = error, select, type, tostring, getmetatable, setmetatable
local format, gsub, lower = string.format, string.gsub, string.lower
local tables = getmetatable(ngx).ctx_tables
local RAISE, raised, PENDING, suspended = b.RAISE, b.raised, b.PENDING, b.suspended
local capture, captures = b.N.capture, R.captures

-- `header.content_type` is `header["content-type"]`.
local header_meta = {
    __index = function(t, k)
        if type(k) ~= "string" then
            return nil
        end
        local name = gsub(lower(k), "_", "-")
        if name ~= k then
            return t[name]
        end
    end,
}

local function check(value, kind, text)
    if value ~= nil and type(value) ~= kind then
        error(text, 5)
    end
    return value
end

-- URI, method, flags, arguments, body, variables, header fields, ctx.
local function query(i, uri, opts)
    local kind = type(uri)
    if kind ~= "string" then
        if kind ~= "number" then
            error(format("bad argument #1 to 'capture' (string expected, got %s)", uri == nil and "nil" or kind), 4)
        end
        uri = tostring(uri)
    end
    if opts == nil then
        return uri, 2, 0
    end
    if type(opts) ~= "table" then
        error(format("expecting table as the 2nd argument for subrequest %d, but got %s", i, type(opts)), 4)
    end
    local args = opts.args
    if type(args) == "table" then
        args = ngx.encode_args(args)
    elseif args ~= nil then
        if type(args) ~= "string" and type(args) ~= "number" then
            error("Bad args option value", 4)
        end
        args = tostring(args)
    end
    local vars = check(opts.vars, "table", "Bad vars option value")
    local headers = check(opts.headers, "table", "Bad headers option value")
    local flags = 0
    if check(opts.share_all_vars, "boolean", "Bad share_all_vars option value") then
        flags = 1
    end
    if check(opts.copy_all_vars, "boolean", "Bad copy_all_vars option value") then
        flags = flags + 2
    end
    if opts.always_forward_body then
        flags = flags + 4
    end
    local method = check(opts.method, "number", "Bad http request method") or 2
    local ctx = opts.ctx
    if ctx ~= nil and type(ctx) ~= "table" then
        error("Bad ctx option value type " .. type(ctx) .. ", expected a Lua table", 4)
    end
    local body = opts.body
    if body ~= nil then
        if type(body) ~= "string" and type(body) ~= "number" then
            error("Bad http request body", 4)
        end
        body = tostring(body)
    end
    return uri, method, flags, args, body, vars, headers, ctx
end

local function result(status, body, truncated, kind, length, header)
    if header == nil then
        header = { ["Content-Type"] = kind, ["Content-Length"] = length }
    else
        if kind ~= nil then
            header["Content-Type"] = kind
        end
        if length ~= nil then
            header["Content-Length"] = length
        end
    end
    return { status = status, header = setmetatable(header, header_meta), body = body, truncated = truncated }
end

local function results(parts, ...)
    if parts == nil then
        return
    end
    return result(parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]), results(...)
end

ngx.location = ngx.location or {}

-- Has a fixed number of arguments, so that compiled code can go on behind the native function and leave.
local function issue(uri, opts)
    local status, body, truncated, kind, length, header = capture(tables, query(1, uri, opts))
    if status == RAISE then
        raised(body, truncated)
    end
    if status == PENDING then
        return result(suspended())
    end
    return result(status, body, truncated, kind, length, header)
end

function ngx.location.capture(...)
    local n = select("#", ...)
    if n ~= 1 and n ~= 2 then
        error("expecting one or two arguments", 2)
    end
    local uri, opts = ...
    return issue(uri, opts)
end

function ngx.location.capture_multi(...)
    local n = select("#", ...)
    if n ~= 1 then
        error("only one argument is expected, but got " .. n, 2)
    end
    local queries = ...
    if type(queries) ~= "table" then
        error(format("bad argument #1 to 'capture_multi' (table expected, got %s)", type(queries)), 2)
    end
    local list = {}
    for i = 1, #queries do
        local q = queries[i]
        if type(q) ~= "table" then
            error(format("the query argument %d is not a table, but a %s", i, type(q)), 2)
        end
        if #q ~= 1 and #q ~= 2 then
            error(format("query argument %d expecting one or two arguments", i), 2)
        end
        list[i] = { query(i, q[1], q[2]) }
    end
    if #list == 0 then
        error("at least one subrequest should be specified", 2)
    end
    return results(captures(tables, list))
end
