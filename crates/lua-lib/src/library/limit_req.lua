-- Requests in a leaky bucket (lua-resty-limit-traffic, limit/req.md). An entry of the dictionary is lua-resty-limit-traffic's
-- own, two 64-bit numbers: what is above the rate, in thousandths of a request, and the time in milliseconds.
local ngx, setmetatable, assert, type, tonumber, max, abs = ngx, setmetatable, assert, type, tonumber, math.max, math.abs
local ffi = require "ffi"

local entry_type = ffi.typeof "struct { uint64_t excess, last; }"
local entry_pointer = ffi.typeof("const $ *", entry_type)
local SIZE = ffi.sizeof(entry_type)
local entry = entry_type()

local req = { _VERSION = "0.09" }
local meta = { __index = req }

function req.new(name, rate, burst)
    local dict = ngx.shared[name]
    if not dict then
        return nil, "shared dict not found"
    end
    assert(rate > 0 and burst >= 0)
    return setmetatable({ dict = dict, rate = rate * 1000, burst = burst * 1000 }, meta)
end

-- What the dictionary says of a key: the excess and its time; an error for what somebody else put there.
local function read(dict, key)
    local value = dict:get(key)
    if value == nil then
        return nil
    elseif type(value) ~= "string" or #value ~= SIZE then
        return nil, "shdict abused by other users"
    end
    local found = ffi.cast(entry_pointer, value)
    return tonumber(found.excess), tonumber(found.last)
end

local function write(dict, key, excess, last)
    entry.excess, entry.last = excess, last
    dict:set(key, ffi.string(entry, SIZE))
end

function req.incoming(self, key, commit)
    local dict, rate, now = self.dict, self.rate, ngx.now() * 1000
    local excess, last = read(dict, key)
    if excess then
        excess = max(excess - rate * abs(now - last) / 1000 + 1000, 0)
        if excess > self.burst then
            return nil, "rejected"
        end
    elseif last then
        return nil, last
    else
        excess = 0
    end
    if commit then
        write(dict, key, excess, now)
    end
    return excess / rate, excess / 1000
end

function req.uncommit(self, key)
    assert(key)
    local excess, last = read(self.dict, key)
    if not excess then
        return nil, last or "not found"
    end
    write(self.dict, key, max(excess - 1000, 0), last)
    return true
end

function req.set_rate(self, rate)
    self.rate = rate * 1000
end

function req.set_burst(self, burst)
    self.burst = burst * 1000
end

return req
