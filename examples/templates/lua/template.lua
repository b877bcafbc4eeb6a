-- Templates: {{ value }} is escaped for HTML, {* value *} is not, {% code %} is Lua.
-- Names that the code does not define are fields of the table that a page is rendered with.
local template = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escape(value)
    return (tostring(value == nil and "" or value):gsub("[&<>\"']", ENTITIES))
end

local function raw(value)
    return tostring(value == nil and "" or value)
end

-- The pieces of a template as Lua code that puts them into the list `out`.
local function code(text)
    local parts = { "local out, escape, raw = ...\n" }
    local at = 1
    while true do
        local from, kind = text:match("(){([{*%%])", at)
        if not from then
            break
        end
        local close = kind == "{" and "}}" or kind .. "}"
        local stop = text:find(close, from + 2, true)
        if not stop then
            error("{" .. kind .. " without " .. close, 0)
        end
        local inner = text:sub(from + 2, stop - 1)
        parts[#parts + 1] = ("out[#out + 1] = %q\n"):format(text:sub(at, from - 1))
        if kind == "%" then
            parts[#parts + 1] = inner .. "\n"
        else
            parts[#parts + 1] = ("out[#out + 1] = %s(%s)\n"):format(kind == "{" and "escape" or "raw", inner)
        end
        at = stop + 2
    end
    parts[#parts + 1] = ("out[#out + 1] = %q\n"):format(text:sub(at))
    return table.concat(parts)
end

-- A function that renders: `render(values)` is the page's text.
function template.compile(text, name)
    local run, err = loadstring(code(text), "=" .. name)
    if not run then
        error(err, 0)
    end
    local globals = { ipairs = ipairs, pairs = pairs, string = string, table = table, tostring = tostring }
    return function(values)
        local out = {}
        setfenv(run, setmetatable({}, {
            __index = function(_, key)
                local value = values[key]
                if value == nil then
                    return globals[key]
                end
                return value
            end,
        }))
        run(out, escape, raw)
        return table.concat(out)
    end
end

function template.file(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return template.compile(text, path:match("[^/]+$"))
end

return template
