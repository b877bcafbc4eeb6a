local b = ...
local C, cx, text = b.C, b.cx, b.text
local type, error = type, error
local ctx_slot = C.ctx_slot
local new = require "table.new"
local meta = getmetatable(b.ngx)
local tables = {}
meta.ctx_tables = tables
local FAILED = -2147483648

function meta.getters.ctx()
    local slot = cx.note
    if slot > 0 then
        return tables[slot]
    end
    slot = ctx_slot(cx)
    if slot > 0 then
        local t = tables[slot]
        if t then
            return t
        end
    elseif slot == FAILED then
        error(text(), 2)
    else
        slot = -slot
    end
    local t = new(0, 4)
    tables[slot] = t
    return t
end

function meta.setters.ctx(value)
    if type(value) ~= "table" then
        error("ctx should be a table while getting a " .. type(value), 2)
    end
    local slot = cx.note
    if slot == 0 then
        slot = ctx_slot(cx)
    end
    if slot == FAILED then
        error(text(), 2)
    end
    tables[slot > 0 and slot or -slot] = value
end
