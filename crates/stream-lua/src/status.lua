local b = ...
local C, cx, text, error = b.C, b.cx, b.text, error

getmetatable(b.ngx).getters.status = function()
    local status = C.get_status(cx)
    if status < 0 then
        error(text(), 2)
    end
    return status
end
