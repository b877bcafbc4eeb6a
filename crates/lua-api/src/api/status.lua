local b = ...
local C, cx, text = b.C, b.cx, b.text
local error, tonumber, type = error, tonumber, type
local meta = getmetatable(b.ngx)

function meta.getters.status()
    local status = C.get_status(cx)
    if status < 0 then
        error(text(), 2)
    end
    return status
end

function meta.setters.status(value)
    local status = tonumber(value)
    if not status then
        error("number expected, got " .. type(value), 2)
    end
    if C.set_status(cx, status) < 0 then
        error(text(), 2)
    end
end

function meta.getters.headers_sent()
    local sent = C.headers_sent(cx)
    if sent < 0 then
        error(text(), 2)
    end
    return sent == K.YES
end
