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
        if rc == 1 then
            return text()
        elseif rc == 2 then
            return true
        elseif rc == 3 then
            return false
        elseif rc == 0 then
            return nil
        end
        error(text(), 2)
    end,
    __newindex = function(_, k, v)
        if k == 1 and type(v) == "string" then
            if arg_set_text(cx, v, #v) < 0 then
                error(text(), 2)
            end
            return
        end
        return set(k, v)
    end,
})
