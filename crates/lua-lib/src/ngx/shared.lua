local b = ...
local C, R, cx, text, ngx = b.C, b.R, b.cx, b.text, b.ngx
local type, error, tostring, tonumber, select = type, error, tostring, tonumber, select
local setmetatable, getmetatable, pairs = setmetatable, getmetatable, pairs
local ffi_string = require("ffi").string

local methods = {}

-- `level` is whose call is blamed: that of the function that calls this one, unless there is one between.
local function number_of(dict, level)
    if type(dict) ~= "table" or getmetatable(dict) ~= methods then
        error('bad "zone" argument', level or 3)
    end
    return dict[1]
end

-- The key as a string, or nil and what is wrong with it.
local function key_of(key)
    if type(key) ~= "string" then
        if key == nil then
            return nil, "nil key"
        end
        key = tostring(key)
    end
    if #key == 0 then
        return nil, "empty key"
    end
    if #key > 65535 then
        return nil, "key too long"
    end
    return key
end

local function value_of(kind)
    if kind == K.TEXT then
        return ffi_string(cx.p, cx.n)
    elseif kind == K.NUMBER then
        return cx.number
    end
    return cx.number ~= 0
end

local function get(dict, key)
    local id, err = number_of(dict)
    key, err = key_of(key)
    if not key then
        return nil, err
    end
    local rc = C.shared_get(cx, id, key, #key, 0)
    if rc == K.TEXT then
        return ffi_string(cx.p, cx.n)
    elseif rc == K.NUMBER then
        return cx.number
    elseif rc == K.NOTHING then
        return nil
    elseif rc < 0 then
        return nil, text()
    elseif rc < K.FLAGS then
        return value_of(rc)
    end
    return value_of(rc % K.MARK), cx.flags
end

local function get_stale(dict, key)
    local id, err = number_of(dict)
    key, err = key_of(key)
    if not key then
        return nil, err
    end
    local rc = C.shared_get(cx, id, key, #key, 1)
    if rc == K.NOTHING then
        return nil
    elseif rc < 0 then
        return nil, text()
    end
    return value_of(rc % K.MARK), rc >= K.FLAGS and cx.flags or nil, rc % K.FLAGS >= K.MARK
end

local function store(dict, how, key, value, exptime, flags)
    local id, err = number_of(dict, 4)
    exptime, flags = exptime or 0, flags or 0
    if exptime < 0 then
        error('bad "exptime" argument', 3)
    end
    key, err = key_of(key)
    if not key then
        return nil, err
    end
    local what, kind, rc = id * K.MANNERS + how, type(value), nil
    if kind == "string" then
        rc = C.shared_text(cx, what, key, #key, value, #value, exptime, flags)
    elseif kind == "number" then
        rc = C.shared_store(cx, what, key, #key, value, exptime, flags)
    elseif kind == "boolean" then
        rc = C.shared_store(cx, what + K.BOOLEAN_VALUE, key, #key, value and 1 or 0, exptime, flags)
    elseif value ~= nil then
        return nil, "bad value type"
    elseif how % K.SAFE ~= 0 then
        return false, "attempt to add or replace nil values", false
    else
        rc = C.shared_delete(cx, id, key, #key)
    end
    if rc < 0 then
        return false, text(), rc == K.FAILED_FORCED
    end
    return true, nil, rc == K.MARK
end

local function incr(dict, key, value, init, init_ttl)
    local id, err = number_of(dict)
    key, err = key_of(key)
    if not key then
        return nil, err
    end
    value = tonumber(value)
    if not value then
        error("bad value arg: number expected", 2)
    end
    if init then
        local given = type(init)
        init = tonumber(init)
        if not init then
            error("bad init arg: number expected, got " .. given, 2)
        end
    end
    if init_ttl ~= nil then
        local given = type(init_ttl)
        init_ttl = tonumber(init_ttl)
        if not init_ttl then
            error("bad init_ttl arg: number expected, got " .. given, 2)
        end
        if init_ttl < 0 then
            error('bad "init_ttl" argument', 2)
        end
        if not init then
            error('must provide "init" when providing "init_ttl"', 2)
        end
    end
    local rc = C.shared_incr(cx, id, key, #key, value, init or 0, init and (init_ttl or 0) or -1)
    if rc < 0 then
        return nil, text()
    end
    if not init then
        return cx.number
    end
    return cx.number, nil, rc == K.MARK
end

local function ttl(dict, key)
    local id, err = number_of(dict)
    key, err = key_of(key)
    if not key then
        return nil, err
    end
    if C.shared_ttl(cx, id, key, #key) < 0 then
        return nil, text()
    end
    return cx.number / 1000
end

local function expire(dict, key, exptime)
    local id, err = number_of(dict)
    if not exptime then
        error('bad "exptime" argument', 2)
    end
    key, err = key_of(key)
    if not key then
        return nil, err
    end
    if C.shared_expire(cx, id, key, #key, exptime + 0) < 0 then
        return nil, text()
    end
    return true
end

-- Lists take strings and numbers for keys, as functions written in C do.
local function list_key(key, name)
    local kind = type(key)
    if kind ~= "string" and kind ~= "number" and key ~= nil then
        error("bad argument #1 to '" .. name .. "' (string expected, got " .. kind .. ")", 4)
    end
    return key_of(key)
end

local function push(name, dict, key, value, left)
    local id, err = number_of(dict, 4)
    key, err = list_key(key, name)
    if not key then
        return nil, err
    end
    local length
    if type(value) == "string" then
        length = C.shared_push_text(cx, id, key, #key, left, value, #value)
    elseif type(value) == "number" then
        length = C.shared_push_number(cx, id, key, #key, left, value)
    else
        return nil, "bad value type"
    end
    if length < 0 then
        return nil, text()
    end
    return length
end

local function pop(name, dict, key, left)
    local id, err = number_of(dict, 4)
    key, err = list_key(key, name)
    if not key then
        return nil, err
    end
    local rc = C.shared_pop(cx, id, key, #key, left)
    if rc > K.NOTHING then
        return value_of(rc)
    elseif rc < 0 then
        return nil, text()
    end
    return nil
end

local function length_of(name, dict, key)
    local id, err = number_of(dict, 4)
    key, err = list_key(key, name)
    if not key then
        return nil, err
    end
    local length = C.shared_length(cx, id, key, #key)
    if length < 0 then
        return nil, text()
    end
    return length
end

local function count(wanted, given)
    if given ~= wanted then
        error("expecting " .. wanted .. " arguments, but only seen " .. given, 3)
    end
end

local function count_of_two(given)
    if given < 1 or given > 2 then
        error("expecting 1 or 2 argument(s), but saw " .. given, 3)
    end
end

methods.get, methods.get_stale, methods.incr, methods.ttl, methods.expire = get, get_stale, incr, ttl, expire

for name, how in pairs { set = 0, add = K.ADD, replace = K.REPLACE, safe_set = K.SAFE, safe_add = K.SAFE + K.ADD } do
    methods[name] = function(dict, key, value, exptime, flags)
        local ok, err, forcible = store(dict, how, key, value, exptime, flags)
        if ok == nil then return nil, err end
        return ok, err, forcible
    end
end

function methods.delete(dict, key)
    local ok, err, forcible = store(dict, 0, key, nil)
    if ok == nil then return nil, err end
    return ok, err, forcible
end

for name, left in pairs { lpush = 1, rpush = 0 } do
    methods[name] = function(...)
        count(3, select("#", ...))
        local dict, key, value = ...
        local length, err = push(name, dict, key, value, left)
        if err then return length, err end
        return length
    end
end

for name, left in pairs { lpop = 1, rpop = 0 } do
    methods[name] = function(...)
        count(2, select("#", ...))
        local dict, key = ...
        local value, err = pop(name, dict, key, left)
        if err then return value, err end
        return value
    end
end

function methods.llen(...)
    count(2, select("#", ...))
    local length, err = length_of("llen", ...)
    if err then return length, err end
    return length
end

function methods.flush_all(dict)
    C.shared_flush_all(cx, (number_of(dict)))
end

local function most_of(name, max, usual)
    local most = tonumber(max or usual)
    if not most then
        error("bad argument #1 to '" .. name .. "' (number expected, got " .. type(max) .. ")", 3)
    end
    return most
end

function methods.flush_expired(...)
    count_of_two(select("#", ...))
    local dict, max = ...
    return (C.shared_flush_expired(cx, (number_of(dict)), most_of("flush_expired", max, 0)))
end

function methods.get_keys(...)
    count_of_two(select("#", ...))
    local dict, max = ...
    return (R.shared_keys(number_of(dict), most_of("get_keys", max, 1024)))
end

function methods.capacity(dict)
    return (C.shared_capacity(cx, (number_of(dict))))
end

function methods.free_space(dict)
    return (C.shared_free_space(cx, (number_of(dict))))
end

methods.__index = methods

ngx.shared = { [""] = function(number) return setmetatable({ number }, methods) end }
b.G.package.loaded["resty.core.shdict"] = { version = "0.1.33" }
