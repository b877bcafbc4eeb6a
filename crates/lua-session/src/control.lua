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

ngx.on_abort = R.on_abort
