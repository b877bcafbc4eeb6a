local b = ...
local C, R, cx, text, stop, ngx = b.C, b.R, b.cx, b.text, b.stop, b.ngx
local error, type, tonumber = error, type, tonumber

function ngx.exit(code)
    local n = tonumber(code)
    if not n then
        error("bad argument #1 to 'exit' (number expected, got " .. (code == nil and "no value" or type(code)) .. ")", 2)
    end
    local rc = C.exit(cx, n)
    if rc == K.STOP then
        return stop()
    end
    if rc < 0 then
        error(text(), 2)
    end
end

-- Tail calls: errors of the native functions name the line that called these.
local exec = R.exec

function ngx.exec(...)
    local uri, args = ...
    if type(args) == "table" then
        return exec(uri, ngx.encode_args(args))
    end
    return exec(...)
end

ngx.redirect, ngx.on_abort = R.redirect, R.on_abort
