local b = ...
local R, ngx = b.R, b.ngx
local type = type

-- Tail calls: errors of the native functions name the line that called these.
local exec = R.exec

function ngx.exec(...)
    local uri, args = ...
    if type(args) == "table" then
        return exec(uri, ngx.encode_args(args))
    end
    return exec(...)
end

ngx.redirect = R.redirect
