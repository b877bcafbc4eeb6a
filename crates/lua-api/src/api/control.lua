local b = ...
local C, R, cx, text, stop, ngx = b.C, b.R, b.cx, b.text, b.stop, b.ngx
local error, type, tonumber = error, type, tonumber

function ngx.exit(code)
    local n = tonumber(code)
    if not n then
        error("bad argument #1 to 'exit' (number expected, got " .. (code == nil and "no value" or type(code)) .. ")", 2)
    end
    local rc = C.exit(cx, n)
    if rc == 0 then
        return stop()
    end
    if rc < 0 then
        error(text(), 2)
    end
end

local function jumped()
    C.jumped(cx)
    return stop()
end

-- The arguments are checked by the native function, whose errors name the line that called this one.
local exec, redirect = R.exec, R.redirect

local function encoded(args)
    if type(args) == "table" then
        return ngx.encode_args(args)
    end
    return args
end

function ngx.exec(...)
    local uri, args = ...
    if type(args) == "table" then
        exec(uri, encoded(args))
    else
        exec(...)
    end
    return jumped()
end

function ngx.redirect(...)
    redirect(...)
    return stop()
end

ngx.on_abort = R.on_abort
