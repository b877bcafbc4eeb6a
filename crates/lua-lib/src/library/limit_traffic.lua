-- Several limits together: a request counts in all of them or in none (lua-resty-limit-traffic, limit/traffic.md).
local max = math.max

local traffic = { _VERSION = "0.09" }

local function take_back(limiters, keys, count)
    for i = 1, count do
        limiters[i]:uncommit(keys[i])
    end
end

-- The last limit counts at once; the others are only asked first, since the answer is mostly the same.
function traffic.combine(limiters, keys, states)
    local count = #limiters
    local longest = 0
    for i = 1, count do
        local delay, state = limiters[i]:incoming(keys[i], i == count)
        if not delay then
            return nil, state
        end
        if i == count then
            longest = delay
            if states then
                states[i] = state
            end
        end
    end
    for i = 1, count - 1 do
        local delay, state = limiters[i]:incoming(keys[i], true)
        if not delay then
            take_back(limiters, keys, i - 1)
            limiters[count]:uncommit(keys[count])
            return nil, state
        end
        longest = max(longest, delay)
        if states then
            states[i] = state
        end
    end
    return longest
end

return traffic
