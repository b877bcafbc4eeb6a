local b = ...
local C, cx, ngx, G = b.C, b.cx, b.ngx, b.G
local error, rawget, select, tostring, tonumber, type = error, rawget, select, tostring, tonumber, type
local concat, format, log_head = table.concat, string.format, b.N.log_head
-- Of tables whose metatable is protected, too.
local getmetatable = debug.getmetatable

-- No constant where it is called: lines that it logs itself would name it as its function.
local TOSTRING = "__tostring"

local function on(level)
    return C.log_on(cx, level)
end

local function write(level, line)
    C.log_write(cx, level, line, #line)
end

local function show(v, i, name)
    local t = type(v)
    if t == "string" then
        return v
    elseif t == "number" or t == "nil" or t == "boolean" then
        return tostring(v)
    elseif t == "table" then
        local meta = getmetatable(v)
        if not meta or not rawget(meta, TOSTRING) then
            error(format("bad argument #%d to '%s' (expected table to have __tostring metamethod)", i, name), 4)
        end
        local s = meta[TOSTRING](v)
        t = type(s)
        return (t == "string" or t == "number") and s or ""
    elseif t == "userdata" and v == ngx.null then
        return "null"
    end
    error(format("bad argument #%d to '%s' (string, number, boolean, or nil expected, got %s)", i, name, t), 4)
end

-- Called by the function that the code called, so that the code is two levels up.
local function line(name, n, ...)
    local parts = { log_head() }
    for i = 1, n do
        parts[i + 1] = show((select(i, ...)), i, name)
    end
    return concat(parts, "", 1, n + 1)
end

function ngx.log(level, ...)
    local n = tonumber(level)
    if not n then
        error("bad argument #1 to 'log' (number expected, got " .. (level == nil and "no value" or type(level)) .. ")", 2)
    end
    local rc = on(n)
    if rc == K.SILENT then
        return
    end
    if rc < 0 then
        error("bad argument #1 to 'log' (bad log level: " .. n .. ")", 2)
    end
    local s = line("log", select("#", ...), ...)
    write(n, s)
end

function G.print(...)
    if on(K.NOTICE) == K.WRITTEN then
        local s = line("print", select("#", ...), ...)
        write(K.NOTICE, s)
    end
end
