local b = ...
local R, ngx = b.R, b.ngx
local error, select, type, tostring, getmetatable, setmetatable = error, select, type, tostring, getmetatable, setmetatable
local format, gsub, lower = string.format, string.gsub, string.lower
local tables = getmetatable(ngx).ctx_tables
local capture = R.capture

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

local function query(i, uri, opts)
    local kind = type(uri)
    if kind ~= "string" and kind ~= "number" then
        error(format("bad argument #1 to 'capture' (string expected, got %s)", uri == nil and "nil" or kind), 4)
    end
    local q = { uri = tostring(uri), method = 2 }
    if opts == nil then
        return q
    end
    if type(opts) ~= "table" then
        error(format("expecting table as the 2nd argument for subrequest %d, but got %s", i, type(opts)), 4)
    end
    local args = opts.args
    if type(args) == "table" then
        q.args = ngx.encode_args(args)
    elseif args ~= nil then
        if type(args) ~= "string" and type(args) ~= "number" then
            error("Bad args option value", 4)
        end
        q.args = tostring(args)
    end
    q.vars = check(opts.vars, "table", "Bad vars option value")
    q.headers = check(opts.headers, "table", "Bad headers option value")
    q.share = check(opts.share_all_vars, "boolean", "Bad share_all_vars option value")
    q.copy = check(opts.copy_all_vars, "boolean", "Bad copy_all_vars option value")
    q.method = check(opts.method, "number", "Bad http request method") or 2
    q.ctx = check(opts.ctx, "table", "Bad ctx option value type " .. type(opts.ctx) .. ", expected a Lua table")
    q.always = opts.always_forward_body and true or nil
    if opts.body ~= nil then
        if type(opts.body) ~= "string" and type(opts.body) ~= "number" then
            error("Bad http request body", 4)
        end
        q.body = tostring(opts.body)
    end
    return q
end

local function dress(res, ...)
    if res == nil then
        return
    end
    setmetatable(res.header, header_meta)
    return res, dress(...)
end

ngx.location = ngx.location or {}

function ngx.location.capture(...)
    local n = select("#", ...)
    if n ~= 1 and n ~= 2 then
        error("expecting one or two arguments", 2)
    end
    local uri, opts = ...
    local list = { (query(1, uri, opts)) }
    return dress(capture(list, tables))
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
        list[i] = query(i, q[1], q[2])
    end
    if #list == 0 then
        error("at least one subrequest should be specified", 2)
    end
    return dress(capture(list, tables))
end
