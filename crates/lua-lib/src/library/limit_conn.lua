-- How many requests may run at once for a key (lua-resty-limit-traffic, limit/conn.md).
local ngx, setmetatable, assert, floor = ngx, setmetatable, assert, math.floor

local conn = { _VERSION = "0.09" }
local meta = { __index = conn }

function conn.new(name, max, burst, delay)
    local dict = ngx.shared[name]
    if not dict then
        return nil, "shared dict not found"
    end
    assert(max > 0 and burst >= 0 and delay > 0)
    return setmetatable({ dict = dict, max = max + 0, burst = burst, unit_delay = delay }, meta)
end

function conn.incoming(self, key, commit)
    local dict, most = self.dict, self.max + self.burst
    self.committed = false
    local count, err
    if commit then
        count, err = dict:incr(key, 1, 0)
        if not count then
            return nil, err
        end
    else
        count = (dict:get(key) or 0) + 1
    end
    if count > most then
        if commit then
            count, err = dict:incr(key, -1)
            if not count then
                return nil, err
            end
        end
        return nil, "rejected"
    end
    self.committed = commit and true or false
    if count > self.max then
        return self.unit_delay * floor((count - 1) / self.max), count
    end
    return 0, count
end

function conn.is_committed(self)
    return self.committed
end

function conn.leaving(self, key, latency)
    assert(key)
    local count, err = self.dict:incr(key, -1)
    if not count then
        return nil, err
    end
    if latency then
        self.unit_delay = (self.unit_delay + latency) / 2
    end
    return count
end

function conn.uncommit(self, key)
    assert(key)
    return self.dict:incr(key, -1)
end

function conn.set_conn(self, max)
    self.max = max
end

function conn.set_burst(self, burst)
    self.burst = burst
end

return conn
