local b = ...
local C, R, cx, text, ngx = b.C, b.R, b.cx, b.text, b.ngx
local error, type = error, type
local set, arg_get, arg_set_text = R.arg_set, C.arg_get, C.arg_set_text

ngx.arg = setmetatable({}, {
    __index = function(_, k)
        if type(k) ~= "number" then
            return nil
        end
        local rc = arg_get(cx, k)
        if rc == K.TEXT then
            return text()
        elseif rc == K.TRUE then
            return true
        elseif rc == K.FALSE then
            return false
        elseif rc == K.NIL then
            return nil
        end
        error(text(), 2)
    end,
    __newindex = function(_, k, v)
        if k == 1 and type(v) == "string" then
            if not arg_set_text(cx, v, #v) then
                error(text(), 2)
            end
            return
        end
        return set(k, v)
    end,
})
