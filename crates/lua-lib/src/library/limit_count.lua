-- How many requests a key has in a window of time (lua-resty-limit-traffic, limit/count.md).
local ngx, setmetatable, assert = ngx, setmetatable, assert

local count = { _VERSION = "0.09" }
local meta = { __index = count }

function count.new(name, limit, window)
    local dict = ngx.shared[name]
    if not dict then
        return nil, "shared dict not found"
    end
    assert(limit > 0 and window > 0)
    return setmetatable({ dict = dict, limit = limit, window = window }, meta)
end

function count.incoming(self, key, commit)
    local dict, limit = self.dict, self.limit
    local left, err
    if commit then
        left, err = dict:incr(key, -1, limit, self.window)
        if not left then
            return nil, err
        end
    else
        left = (dict:get(key) or limit) - 1
    end
    if left < 0 then
        return nil, "rejected"
    end
    return 0, left
end

function count.uncommit(self, key)
    assert(key)
    local left, err = self.dict:incr(key, 1)
    if left then
        return left
    elseif err == "not found" then
        return self.limit
    end
    return nil, err
end

return count
