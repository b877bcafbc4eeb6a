-- What lua-cjson's own tests and tools are written with (`cjson.util`).
local pairs, ipairs, type, tostring, error, getmetatable, setmetatable = pairs, ipairs, type, tostring, error, getmetatable, setmetatable
local concat, unpack, pcall, print, setfenv, loadstring, io = table.concat, unpack, pcall, print, setfenv, loadstring, io
local null = require "cjson".null

local DEPTH = 50
local one_of = {}

local function is_one_of(value)
    return type(value) == "table" and getmetatable(value) == one_of
end

-- The highest index of a list, 0 for an empty table; nil for keys that are no numbers or lie far apart.
local function list_size(t)
    local highest, count = 0, 0
    for key in pairs(t) do
        if type(key) ~= "number" then
            return nil
        end
        highest, count = key > highest and key or highest, count + 1
    end
    return highest <= count * 2 and highest or nil
end

local serialise

local function serialise_table(t, indent, depth)
    if depth > DEPTH then
        return "Cannot serialise any further: too many nested tables"
    end
    local last, inner, deeper = " ", " ", false
    if indent then
        last = "\n" .. indent
        inner, deeper = last .. "  ", indent .. "  "
    end
    local items, size = {}, list_size(t)
    if size then
        for i = 1, size do
            items[i] = serialise(t[i], deeper, depth)
        end
    else
        for key, value in pairs(t) do
            items[#items + 1] = "[" .. serialise(key, deeper, depth) .. "] = " .. serialise(value, deeper, depth)
        end
    end
    return (is_one_of(t) and "ONE_OF{" or "{") .. inner .. concat(items, "," .. inner) .. last .. "}"
end

function serialise(value, indent, depth)
    local kind = type(value)
    if value == null then
        return "json.null"
    elseif kind == "string" then
        return ("%q"):format(value)
    elseif kind == "nil" or kind == "number" or kind == "boolean" then
        return tostring(value)
    elseif kind == "table" then
        if indent == nil then
            indent = ""
        end
        return serialise_table(value, indent, (depth or 0) + 1)
    end
    return '"<' .. kind .. '>"'
end

-- A file opened for reading or writing, or what stands for it without a name.
local function open(name, mode, standard, what)
    if name == nil then
        return standard
    end
    local file, err = io.open(name, mode)
    if not file then
        error(("Unable to %s '%s': %s"):format(what, name, err))
    end
    return file
end

local function file_load(name)
    local file = open(name, "rb", io.stdin, "read")
    local data = file:read("*a")
    if name ~= nil then
        file:close()
    end
    return data or error("Failed to read " .. name)
end

local function file_save(name, data)
    local file = open(name, "wb", io.stdout, "write")
    file:write(data)
    if name ~= nil then
        file:close()
    end
end

-- Whether values are the same, tables by their contents; the second may be a choice.
local function compare(a, b)
    if is_one_of(b) then
        for _, choice in ipairs(b) do
            if compare(a, choice) then
                return true
            end
        end
        return false
    elseif type(a) ~= "table" or type(b) ~= "table" then
        return a == b or (a ~= a and b ~= b)
    end
    for key, value in pairs(a) do
        if b[key] == nil or not compare(value, b[key]) then
            return false
        end
    end
    for key in pairs(b) do
        if a[key] == nil then
            return false
        end
    end
    return true
end

local passed, total = 0, 0

local function show(name, ok, value)
    print(("[%s%s] %s"):format(name, ok == nil and "" or ok and ":success" or ":error", serialise(value, false)))
end

local function run_test(name, f, input, should_work, expected)
    local function collect(ok, ...)
        return ok, { ... }
    end
    local ok, received = collect(pcall(f, unpack(input)))
    local correct = ok == should_work and compare(received, expected)
    passed, total = passed + (correct and 1 or 0), total + 1
    print(("==> Test [%d] %s: %s"):format(total, name, correct and "PASS" or "FAIL"))
    show("Input", nil, input)
    if not correct then
        show("Expected", should_work, expected)
    end
    show("Received", ok, received)
    print()
    return correct, received
end

-- An entry without an expected outcome is a function to be run.
local function run_test_group(tests)
    for _, entry in ipairs(tests) do
        local name, f, input = entry[1], entry[2], entry[3]
        if entry[4] ~= nil then
            run_test(unpack(entry, 1, 5))
        else
            if type(name) == "string" and name ~= "" then
                print("==> " .. name)
            end
            f(unpack(input or {}))
            print()
        end
    end
end

local function run_script(script, env)
    env = env or {}
    local f = loadstring(script)
    if not f then
        error("Invalid syntax.")
    end
    setfenv(f, env)()
    return env
end

return {
    serialise_value = serialise, file_load = file_load, file_save = file_save, compare_values = compare, run_test = run_test,
    run_test_group = run_test_group, run_script = run_script,
    run_test_summary = function()
        return passed, total
    end,
    one_of = function(t)
        return setmetatable(t, one_of)
    end,
}
