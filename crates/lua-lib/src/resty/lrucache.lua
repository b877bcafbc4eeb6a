-- A cache of a fixed number of items. Items live at places 1 to `size` of parallel lists; `before` and `after` chain
-- the places in use in the order of their last use, from place 0 on, and `free` holds those that are not.
local now, type, setmetatable, tostring = ngx.now, type, setmetatable, tostring
local new_tab = require "table.new"

local cache = { _VERSION = "0.14" }
local meta = { __index = cache }

local function empty(self, size)
    local before, after, free = new_tab(size, 1), new_tab(size, 1), new_tab(size, 0)
    before[0], after[0] = 0, 0
    for i = 1, size do
        before[i], after[i], free[i] = 0, 0, size + 1 - i
    end
    self.before, self.after, self.free, self.unused = before, after, free, size
    self.place, self.keys, self.values = {}, new_tab(size, 0), new_tab(size, 0)
    self.expires, self.flags = new_tab(size, 0), new_tab(size, 0)
    return self
end

function cache.new(size)
    if size < 1 then
        return nil, "size too small"
    end
    return setmetatable(empty({ size = size }, size), meta)
end

local function unlink(before, after, i)
    local b, a = before[i], after[i]
    after[b], before[a] = a, b
end

local function to_front(before, after, i)
    local first = after[0]
    before[i], after[i] = 0, first
    before[first], after[0] = i, i
end

function cache.count(self)
    return self.size - self.unused
end

function cache.capacity(self)
    return self.size
end

function cache.get(self, key)
    local i = self.place[key]
    if not i then
        return nil
    end
    local value = self.values[i]
    if value == nil then
        return nil
    end
    local before, after = self.before, self.after
    if after[0] ~= i then
        unlink(before, after, i)
        to_front(before, after, i)
    end
    local expires = self.expires[i]
    if expires >= 0 and expires < now() then
        return nil, value, self.flags[i]
    end
    return value, nil, self.flags[i]
end

function cache.delete(self, key)
    local place = self.place
    local i = place[key]
    if not i then
        return false
    end
    place[key], self.keys[i], self.values[i] = nil, false, nil
    unlink(self.before, self.after, i)
    local unused = self.unused + 1
    self.free[unused], self.unused = i, unused
    return true
end

function cache.set(self, key, value, ttl, flags)
    local place, before, after = self.place, self.before, self.after
    local i = place[key]
    if i then
        unlink(before, after, i)
    else
        local unused = self.unused
        if unused > 0 then
            i = self.free[unused]
            self.unused = unused - 1
        else
            i = before[0]
            unlink(before, after, i)
            place[self.keys[i]] = nil
        end
        place[key], self.keys[i] = i, key
    end
    to_front(before, after, i)
    self.values[i] = value
    self.expires[i] = ttl and now() + ttl or -1
    self.flags[i] = type(flags) == "number" and flags >= 0 and flags or 0
end

function cache.get_keys(self, max, list)
    local count = self.size - self.unused
    if not max or max == 0 then
        max = count
    end
    list = list or new_tab(max + 1, 0)
    local after, keys = self.after, self.keys
    local n, i = 0, after[0]
    while i ~= 0 and n < max do
        n = n + 1
        list[n] = keys[i]
        i = after[i]
    end
    list[n + 1] = nil
    return list
end

function cache.flush_all(self)
    empty(self, self.size)
end

-- `resty.lrucache.pureffi`: the same cache, whose keys are strings.
local strings = { _VERSION = cache._VERSION }
for name, f in pairs(cache) do
    strings[name] = f
end
local strings_meta = { __index = strings }

function strings.new(size)
    local self, err = cache.new(size)
    if not self then
        return nil, err
    end
    return setmetatable(self, strings_meta)
end

for _, name in ipairs { "get", "delete", "set" } do
    local f = cache[name]
    strings[name] = function(self, key, ...)
        return f(self, type(key) == "string" and key or tostring(key), ...)
    end
end

return ... == "resty.lrucache.pureffi" and strings or cache
