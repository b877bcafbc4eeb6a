local b = ...
local C, cx, text, type = b.C, b.cx, b.text, type
local os, getenv = b.G.os, b.G.os.getenv

function os.getenv(name)
    if C.past_init(cx) then
        -- Whatever code has put in its place is gone with it, as in OpenResty.
        os.getenv = getenv
        return getenv(name)
    end
    if type(name) == "string" and C.configured_variable(cx, name, #name) then
        return text()
    end
    return getenv(name)
end
