-- Locks between all workers, each an entry of a shared dictionary (README of lua-resty-lock).
local ngx, type, setmetatable, tostring, pairs = ngx, type, setmetatable, tostring, pairs
local min, max = math.min, math.max
local sleep, getmetatable, newproxy = ngx.sleep, getmetatable, newproxy

local lock = { _VERSION = "0.09" }
local meta = { __index = lock }

-- Keys of locks that were forgotten while they were held. A finalizer must not call into the machine; it may run between any two
-- instructions, so that the list has no counter beside it and is replaced before it is read.
local forgotten = {}

local function forget(proxy)
    local held = getmetatable(proxy).held
    if held.key then
        forgotten[#forgotten + 1] = { held.dict, held.key }
    end
end

local function give_back()
    if forgotten[1] then
        local list = forgotten
        forgotten = {}
        for i = 1, #list do
            list[i][1]:delete(list[i][2])
        end
    end
end

function lock.new(_, name, options)
    local dict = ngx.shared[name]
    if not dict then
        return nil, "dictionary not found"
    end
    give_back()
    local self = { dict = dict, timeout = 5, exptime = 30, step = 0.001, ratio = 2, max_step = 0.5 }
    for option, value in pairs(options or {}) do
        if self[option] and type(value) == "number" then
            self[option] = value
        end
    end
    if self.timeout > self.exptime then
        self.timeout = self.exptime
    end
    local proxy = newproxy(true)
    local hooks = getmetatable(proxy)
    hooks.held = { dict = dict }
    hooks.__gc = forget
    self.held, self.proxy = hooks.held, proxy
    return setmetatable(self, meta)
end

function lock.lock(self, key)
    if not key then
        return nil, "nil key"
    end
    local held, dict = self.held, self.dict
    if held.key then
        return nil, "locked"
    end
    give_back()
    key = tostring(key)
    local exptime, waited, step, left = self.exptime, 0, self.step, self.timeout
    while true do
        local ok, err = dict:add(key, true, exptime)
        if ok then
            held.key = key
            return waited
        end
        if err ~= "exists" then
            return nil, err
        end
        if left <= 0 then
            return nil, "timeout"
        end
        sleep(step)
        waited, left = waited + step, left - step
        step = min(max(step * self.ratio, 0.001), left, self.max_step)
    end
end

function lock.unlock(self)
    local held, dict = self.held, self.dict
    local key = held.key
    if not key then
        return nil, "unlocked"
    end
    local ok, err = dict:delete(key)
    if not ok then
        return nil, err
    end
    held.key = nil
    return 1
end

function lock.expire(self, time)
    local held, dict = self.held, self.dict
    local key = held.key
    if not key then
        return nil, "unlocked"
    end
    time = time or self.exptime
    local ok, err = dict:replace(key, true, time)
    if not ok then
        return nil, err
    end
    return true
end

return lock
