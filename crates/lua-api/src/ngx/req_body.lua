local b = ...
local C, R, cx, stop, req = b.C, b.R, b.cx, b.stop, b.ngx.req
local N, RAISE, raised, PENDING, wait = b.N, b.RAISE, b.raised, b.PENDING, b.wait
local error, select = error, select
local read, get_data, get_some = N.read_body, N.get_body_data, R.get_body_data

-- A native function is called in a function with a fixed number of arguments: compiled code that goes on behind the call
-- could not leave one with a variable number.
local function read_body()
    local status, message, level = read()
    if status == nil then
        return
    end
    if status == RAISE then
        raised(message, level)
    end
    if status == PENDING then
        status = wait()
    end
    if status then
        -- The body cannot be had: the request ends with this status.
        C.finish_read(cx, status)
        return stop()
    end
end

function req.read_body(...)
    local n = select("#", ...)
    if n ~= 0 then
        error("expecting 0 arguments but seen " .. n, 2)
    end
    return read_body()
end

local function get_body_data()
    local data, message, level = get_data()
    if data == RAISE then
        return raised(message, level)
    end
    return data
end

function req.get_body_data(...)
    if select("#", ...) ~= 0 then
        return get_some(...)
    end
    return get_body_data()
end

for _, name in ipairs { "discard_body", "get_body_file", "set_body_data", "set_body_file", "init_body",
    "append_body", "finish_body" } do
    req[name] = R[name]
end
