local b = ...
local C, cx, text = b.C, b.cx, b.text
local type, error = type, error
local ctx_slot, ctx_base = C.ctx_slot, C.ctx_base
local setmetatable = setmetatable
local new = require "table.new"
local meta = getmetatable(b.ngx)
local tables = {}
meta.ctx_tables = tables

-- Requests see through their own table what the handshake of their connection left; fields that they set are their own.
local function adopt(t)
    local base = ctx_base(cx)
    if base == K.OWN then
        t.__index = t
    elseif base ~= K.NO_BASE and tables[base] then
        setmetatable(t, tables[base])
    end
end

-- `new_table` is to be the table if there is none yet.
local function get(new_table)
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
    elseif slot == K.FAILED then
        error(text(), 2)
    else
        slot = -slot
    end
    local t = new_table or new(0, 4)
    tables[slot] = t
    adopt(t)
    return t
end

local function set(value)
    if type(value) ~= "table" then
        error("ctx should be a table while getting a " .. type(value), 2)
    end
    local slot = cx.note
    if slot == 0 then
        slot = ctx_slot(cx)
    end
    if slot == K.FAILED then
        error(text(), 2)
    end
    tables[slot > 0 and slot or -slot] = value
end

meta.getters.ctx, meta.setters.ctx = get, set
b.G.package.loaded["resty.core.ctx"] = { _VERSION = "0.1.33", get_ctx_table = get, set_ctx_table = set }
