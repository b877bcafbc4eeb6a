local b = ...
local R, N, RAISE, G, null = b.R, b.N, b.RAISE, b.G, b.ngx.null
local encode, decode = N.json_encode, N.json_decode
local error, select, type, tonumber, tostring = error, select, type, tonumber, tostring
local array_mt, empty_array_mt, empty_array = {}, {}, R.json_empty_array()
local MAX = 2147483647

local function argument(index, name, what)
    error("bad argument #" .. index .. " to '" .. name .. "' (" .. what .. ")", 4)
end

-- The value of a switch after a call of its function.
local function switch(name, old, new, words)
    if new == nil then
        return old
    end
    if type(new) == "boolean" then
        return new
    end
    if type(new) ~= "string" and type(new) ~= "number" then
        argument(1, name, "string expected, got " .. type(new))
    end
    for i = 1, #words do
        if words[i] == tostring(new) then
            return i > 2 and words[i] or i == 2
        end
    end
    argument(1, name, "invalid option '" .. tostring(new) .. "'")
end

local function whole(name, index, old, new, min, max)
    if new == nil then
        return old
    end
    local value = tonumber(new)
    if not value or type(new) == "boolean" then
        argument(index, name, "number expected, got " .. type(new))
    end
    value = value - value % 1
    if not (value >= min and value <= max) then
        argument(1, name, "expected integer between " .. min .. " and " .. max)
    end
    return value
end

local function few(name, most, ...)
    if select("#", ...) > most then
        argument(most + 1, name, "found too many arguments")
    end
end

local on_off, on_off_null = { "off", "on" }, { "off", "on", "null" }

-- Flags of the two native functions, by the names of their switches.
local encode_flags = {
    encode_empty_table_as_object = 1, encode_escape_forward_slash = 2, encode_skip_unsupported_value_types = 8,
    encode_keep_buffer = 16,
}
local decode_flags = { decode_allow_comment = 1, decode_invalid_numbers = 2 }

local function instance(safe)
    local flags, depth, precision, ratio, unchecked, indent = 1 + 2 + 16, 1000, 14, 2, 10, nil
    local sparse, invalid = false, false
    local array, decoding, decode_depth = nil, 2, 1000
    -- What the native functions get: nothing as long as nothing was set.
    local encode_settings, decode_settings
    local function set()
        encode_settings = { flags, depth, precision, ratio, unchecked, indent }
        decode_settings = { decoding, decode_depth }
    end
    local values = { encode_skip_unsupported_value_types = false, decode_allow_comment = false }
    local cjson = {
        null = null, array_mt = array_mt, empty_array_mt = empty_array_mt, empty_array = empty_array,
        _NAME = "cjson", _VERSION = "2.1.0.11",
    }

    function cjson.new()
        return instance(safe)
    end

    for name, flag in next, encode_flags do
        cjson[name] = function(...)
            few(name, 1, ...)
            local old = values[name] ~= false
            local new = switch(name, old, (...), on_off)
            values[name] = new
            flags = flags + (new and flag or 0) - (old and flag or 0)
            set()
            return new
        end
    end

    for name, flag in next, decode_flags do
        cjson[name] = function(...)
            few(name, 1, ...)
            local old = values[name] ~= false
            local new = switch(name, old, (...), on_off)
            values[name] = new
            decoding = decoding + (new and flag or 0) - (old and flag or 0)
            set()
            return new
        end
    end

    function cjson.decode_array_with_array_mt(...)
        few("decode_array_with_array_mt", 1, ...)
        array = switch("decode_array_with_array_mt", array ~= nil, (...), on_off) and array_mt or nil
        return array ~= nil
    end

    function cjson.encode_invalid_numbers(...)
        few("encode_invalid_numbers", 1, ...)
        local old = invalid
        invalid = switch("encode_invalid_numbers", old, (...), on_off_null)
        local function flag(value)
            return value == "null" and 64 or value and 32 or 0
        end
        flags = flags + flag(invalid) - flag(old)
        set()
        return invalid
    end

    function cjson.encode_sparse_array(...)
        few("encode_sparse_array", 3, ...)
        local convert, new_ratio, new_unchecked = ...
        local old = sparse
        sparse = switch("encode_sparse_array", old, convert, on_off)
        flags = flags + (sparse and 4 or 0) - (old and 4 or 0)
        ratio = whole("encode_sparse_array", 2, ratio, new_ratio, 0, MAX)
        unchecked = whole("encode_sparse_array", 3, unchecked, new_unchecked, 0, MAX)
        set()
        return sparse, ratio, unchecked
    end

    function cjson.encode_max_depth(...)
        few("encode_max_depth", 1, ...)
        depth = whole("encode_max_depth", 1, depth, (...), 1, MAX)
        set()
        return depth
    end

    function cjson.decode_max_depth(...)
        few("decode_max_depth", 1, ...)
        decode_depth = whole("decode_max_depth", 1, decode_depth, (...), 1, MAX)
        set()
        return decode_depth
    end

    function cjson.encode_number_precision(...)
        few("encode_number_precision", 1, ...)
        precision = whole("encode_number_precision", 1, precision, (...), 1, 16)
        set()
        return precision
    end

    function cjson.encode_indent(...)
        few("encode_indent", 1, ...)
        local new = ...
        if new ~= nil then
            if type(new) ~= "string" and type(new) ~= "number" then
                argument(1, "encode_indent", "string expected, got " .. type(new))
            end
            indent = tostring(new)
            set()
        end
        return indent or ""
    end

    function cjson.encode(...)
        local text, message, level = encode(array_mt, empty_array_mt, encode_settings, ...)
        if text == RAISE then
            error(message, level)
        end
        return text
    end

    function cjson.decode(...)
        local value, message, level = decode(array, decode_settings, ...)
        if value == RAISE then
            error(message, level)
        end
        return value
    end

    if safe then
        function cjson.encode(...)
            local text, message = encode(array_mt, empty_array_mt, encode_settings, ...)
            if text == RAISE then
                if select("#", ...) ~= 1 then
                    error(message, 2)
                end
                return nil, message
            end
            return text
        end

        function cjson.decode(...)
            local value, message = decode(array, decode_settings, ...)
            if value == RAISE then
                if select("#", ...) ~= 1 then
                    error(message, 2)
                end
                return nil, message
            end
            return value
        end
    end
    return cjson
end

-- As a preloaded module it stands before a cjson.so on the search path.
G.package.preload["cjson"] = function()
    return instance(false)
end
G.package.preload["cjson.safe"] = function()
    return instance(true)
end
