local b = ...
local C, R, cx = b.C, b.R, b.cx
local type, assert, error = type, assert, error

-- Names that the library knows on other systems, with the numbers that it gives them in its message.
local elsewhere = { EMT = 31, INFO = 33 }

local function signum(name)
    if type(name) == "number" then
        return name
    elseif name == "NONE" then
        return 0
    elseif type(name) ~= "string" then
        return nil, "unknown signal name"
    elseif elsewhere[name] then
        error("missing C def for signal " .. name .. " = " .. elsewhere[name], 2)
    end
    local number = C.signal_number(cx, name, #name)
    if number < 0 then
        return nil, "unknown signal name"
    end
    return number
end

b.G.package.loaded["resty.signal"] = {
    version = 0.04,
    signum = signum,
    kill = function(pid, signal)
        local number, err = signum(assert(signal))
        if not number then
            return nil, err
        end
        err = R.signal_send(assert(pid), number)
        if err then
            return nil, err
        end
        return true
    end,
}
