local b = ...
local C, cx, text, ngx, G = b.C, b.cx, b.text, b.ngx, b.G
local ffi = require "ffi"
local meta, loaded = getmetatable(ngx), G.package.loaded
local abi = meta.abi
local of_request, point, bytes, keep, say = abi.of_request, abi.point, abi.bytes, abi.keep, abi.say
local pcall, tostring, getmetatable, setmetatable, ipairs, rawset = pcall, tostring, getmetatable, setmetatable, ipairs, rawset
local type, tonumber, error, min = type, tonumber, error, math.min
local cast, new, sub, lower = ffi.cast, ffi.new, string.sub, string.lower
local OK, ERROR, DECLINED, NO_REQUEST = 0, -1, -5, -100

-- Values come as one string, or as a list of pointers with lengths; neither takes the field away.
local function values_of(single, length, list, count)
    count = tonumber(count)
    if list == nil or count == 0 then
        return single ~= nil and bytes(single, length) or nil
    end
    local values = {}
    for place = 1, count do
        values[place] = bytes(list[place - 1].data, list[place - 1].len)
    end
    return values
end
-- Strings for a list of pointers with lengths, in memory that stays for a while.
local function show(slot, at, length, memory)
    slot.data, slot.len = cast("const unsigned char *", memory) + at, length
end
local function truth(value)
    return value == true or type(value) ~= "boolean" and value ~= nil and value ~= 0
end

-- `ngx.ctx` by number, as code finds it that hands it over an internal redirect.
debug.getregistry().ngx_lua_ctx_tables = meta.ctx_tables
of_request("get_ctx_ref", nil, function()
    local _ = ngx.ctx
    local slot = C.ctx_keep(cx)
    return slot == K.FAILED and NO_REQUEST or slot
end)
of_request("set_ctx_ref", nil, function(slot)
    ngx.ctx = meta.ctx_tables[tonumber(slot)]
    return OK
end)

of_request("get_phase", 1, ngx.get_raw_phase)
of_request("is_subrequest", nil, function()
    return ngx.is_subrequest and 1 or 0
end)
of_request("headers_sent", nil, function()
    return ngx.headers_sent and 1 or 0
end)
of_request("req_start_time", nil, ngx.req.start_time)

-- Variables that point to counters: what is read through them is counted at that moment.
for place, name in ipairs { "accepted", "handled", "requests", "active", "reading", "writing", "waiting" } do
    rawset(ffi.C, "ngx_stat_" .. name, setmetatable({}, {
        __index = function()
            return C.stat(cx, place - 1)
        end,
    }))
end

local methods = {
    GET = 0x2, HEAD = 0x4, POST = 0x8, PUT = 0x10, DELETE = 0x20, MKCOL = 0x40, COPY = 0x80, MOVE = 0x100, OPTIONS = 0x200,
    PROPFIND = 0x400, PROPPATCH = 0x800, LOCK = 0x1000, UNLOCK = 0x2000, PATCH = 0x4000, TRACE = 0x8000, CONNECT = 0x10000,
}
of_request("req_get_method", nil, function()
    return methods[ngx.req.get_method()] or 1
end)
of_request("req_get_method_name", nil, function(to, length)
    point(to, length, ngx.req.get_method())
    return OK
end)
of_request("req_set_method", nil, function(method)
    ngx.req.set_method(tonumber(method))
    return OK
end)

-- Pairs of strings in the request's order.
local function pairs_into(out, all)
    local whole = keep(new("unsigned char [?]", #all.text + 1, all.text))
    for place = 1, #all, 3 do
        local at, name, value = all[place], all[place + 1], all[place + 2]
        local pair = out[(place - 1) / 3]
        show(pair.key, at, name, whole)
        show(pair.value, at + name, value, whole)
    end
    return #all / 3
end
of_request("req_get_headers_count", nil, function(max, truncated)
    local count, most = C.req_field_count(cx), tonumber(max)
    if count < 0 then
        error(text())
    end
    most = most < 0 and 100 or most == 0 and count or most
    truncated[0] = count > most and 1 or 0
    return min(count, most)
end)
of_request("req_get_headers", nil, function(out, count, raw)
    local all, at, parts = {}, 0, {}
    for place = 1, min(tonumber(count), C.req_field_count(cx)) do
        local name = C.req_field(cx, place - 1)
        local field = text()
        parts[place] = truth(raw) and field or lower(sub(field, 1, name)) .. sub(field, name + 1)
        all[#all + 1], all[#all + 2], all[#all + 3] = at, name, #field - name
        at = at + #field
    end
    all.text = table.concat(parts)
    return pairs_into(out, all)
end)
of_request("req_set_header", 8, function(name, name_length, value, length, list, count, override)
    name, value = bytes(name, name_length), values_of(value, length, list, count)
    if value == nil or truth(override) then
        ngx.req.set_header(name, value)
    else
        loaded["ngx.req"].add_header(name, value)
    end
    return OK
end)

of_request("get_resp_header", 6, function(name, name_length, _, out, most)
    local found = ngx.header[bytes(name, name_length)]
    if found == nil then
        return 0
    end
    local list = type(found) == "table" and found or { found }
    local count = min(#list, tonumber(most))
    for place = 1, count do
        local value = tostring(list[place])
        show(out[place - 1], 0, #value, keep(new("unsigned char [?]", #value + 1, value)))
    end
    return count
end)
of_request("set_resp_header", 9, function(name, name_length, is_nil, value, length, list, count, override)
    name, value = bytes(name, name_length), values_of(value, length, list, count)
    if truth(is_nil) then
        ngx.header[name] = nil
    elseif truth(override) then
        ngx.header[name] = value or {}
    else
        loaded["ngx.resp"].add_header(name, value or {})
    end
    return OK
end)
of_request("get_resp_status", nil, function()
    return ngx.status
end)
of_request("set_resp_status", nil, function(status)
    ngx.status = tonumber(status)
    return OK
end)
of_request("set_resp_status_and_reason", nil, function(status, reason, length)
    loaded["ngx.resp"].set_status(tonumber(status), bytes(reason, length))
    return OK
end)

local function leave(err, buffer, room)
    err = sub(err, 1, tonumber(room[0]))
    ffi.copy(buffer, err, #err)
    room[0] = #err
    return ERROR
end
of_request("var_get", 7, function(name, length, _, capture, to, to_length)
    local value
    if name == nil then
        value = ngx.var[tonumber(capture)]
    else
        value = ngx.var[bytes(name, length)]
    end
    if value == nil then
        return DECLINED
    end
    point(to, to_length, value)
    return OK
end)
of_request("var_set", nil, function(name, length, _, value, value_length, buffer, room)
    local ok, err = pcall(function()
        ngx.var[bytes(name, length)] = value ~= nil and bytes(value, value_length) or nil
    end)
    if ok then
        return OK
    end
    return leave((err:gsub("^[^:]+:%d+: ", "")), buffer, room)
end)

local balancer = loaded["ngx.balancer"]
local function balance(name, err, f)
    of_request("balancer_" .. name, err, f)
end
local function done(err, ok, message)
    return ok and OK or say(err, message)
end
balance("set_current_peer", 6, function(address, length, port, host, host_length, err)
    host = host ~= nil and bytes(host, host_length) or nil
    return done(err, balancer.set_current_peer(bytes(address, length), tonumber(port), host))
end)
balance("set_more_tries", 2, function(count, err)
    return done(err, balancer.set_more_tries(tonumber(count)))
end)
balance("get_last_failure", 2, function(status, err)
    local state, code = balancer.get_last_failure()
    if state == nil then
        return code and say(err, code) or 0
    end
    status[0] = code or 0
    return state == "next" and 2 or 4
end)
balance("set_timeouts", 4, function(connect, send, read, err)
    local function seconds(time)
        time = tonumber(time)
        return time > 0 and time / 1000 or nil
    end
    return done(err, balancer.set_timeouts(seconds(connect), seconds(send), seconds(read)))
end)
balance("recreate_request", 1, function(err)
    return done(err, balancer.recreate_request())
end)
balance("enable_keepalive", 3, function(idle, requests, err)
    return done(err, balancer.enable_keepalive(tonumber(idle) / 1000, tonumber(requests)))
end)
balance("bind_to_local_addr", nil, function(address, length, buffer, room)
    local ok, err = balancer.bind_to_local_addr(bytes(address, length))
    return ok and OK or leave(err, buffer, room)
end)
balance("set_upstream_tls", 2, function(on, err)
    return done(err, balancer.set_upstream_tls(truth(on)))
end)
