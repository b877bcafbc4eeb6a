local b = ...
local R = b.R
local error, ipairs, type = error, ipairs, type
local format = string.format

local function check(field, value)
    if type(value) ~= "string" then
        error(format("bad field '%s' in 'purge' (string expected, got %s)", field, type(value)), 0)
    end
    return value
end

local function purge(what)
    if type(what) ~= "table" then
        error(format("bad argument #1 to 'purge' (table expected, got %s)", type(what)), 0)
    end
    local zone, soft = check("zone", what.zone), what.soft and true or false
    local kind
    for _, name in ipairs { "key", "prefix", "tag" } do
        if what[name] ~= nil then
            kind = not kind and name or "several"
        end
    end
    if not kind or kind == "several" then
        error("one of 'key', 'prefix' and 'tag' expected in 'purge'", 0)
    end
    local target = what[kind]
    if kind ~= "tag" or type(target) ~= "table" then
        return R.cache_purge(zone, kind, check(kind, target), soft)
    end
    for _, tag in ipairs(target) do
        check(kind, tag)
    end
    for _, tag in ipairs(target) do
        local ok, err = R.cache_purge(zone, kind, tag, soft)
        if not ok then
            return nil, err
        end
    end
    return true
end

b.G.package.loaded["ngx.cache"] = { purge = purge }
