local b = ...
local C, R, cx, text, ngx, G = b.C, b.R, b.cx, b.text, b.ngx, b.G
local ffi = require "ffi"
local type, tostring, tonumber, error, setmetatable, getmetatable, next = type, tostring, tonumber, error, setmetatable, getmetatable, next
local floor, min = math.floor, math.min
local sub, concat, byte, loadstring = string.sub, table.concat, string.byte, loadstring
local search, substitute, free, native_compile = C.regex_search, C.regex_substitute, C.regex_free, R.regex_compile
local re = {}
ngx.re = re

-- Start and end of each group of the last match.
local caps = ffi.cast("const int32_t *", C.regex_captures(cx))

local function release(handle)
    free(cx, handle.id)
end
local Handle = ffi.metatype(ffi.typeof("struct { int32_t id; }"), { __gc = release })

-- Functions that make the table of a match's groups, by the number of the last group.
local collectors = {}
local function collector(last)
    local f = collectors[last]
    if f then
        return f
    end
    if last > 30 then
        f = function(subj)
            local groups = {}
            for i = 0, last do
                local from = caps[i * 2]
                groups[i] = from >= 0 and sub(subj, from + 1, caps[i * 2 + 1])
            end
            return groups
        end
    else
        local code = { "local caps, sub = ... return function(s) return { [0] = sub(s, caps[0] + 1, caps[1])" }
        for i = 1, last do
            code[#code + 1] = ", caps[" .. i * 2 .. "] >= 0 and sub(s, caps[" .. i * 2 .. "] + 1, caps[" .. i * 2 + 1 .. "])"
        end
        code[#code + 1] = " } end"
        f = loadstring(concat(code), "=ngx.re")(caps, sub)
    end
    collectors[last] = f
    return f
end

-- Adds the groups that have names to the table of a match.
local function add_names(e, groups)
    local names = e.names
    for i = 1, #names, 2 do
        local group, name = groups[names[i]], names[i + 1]
        if not e.lists then
            groups[name] = group
        elseif group then
            local list = groups[name]
            if list then
                list[#list + 1] = group
            else
                groups[name] = { group }
            end
        end
    end
    return groups
end

local function collect(e, subj)
    local groups = e.collect(subj)
    return e.names and add_names(e, groups) or groups
end

-- The same, into a table that is given.
local function refill(e, subj, groups)
    for i = 0, e.last do
        local from = caps[i * 2]
        groups[i] = from >= 0 and sub(subj, from + 1, caps[i * 2 + 1])
    end
    return e.names and add_names(e, groups) or groups
end

-- The cache: expressions by flags and pattern, those of replacements by template too. All stand in one ring, in which the
-- hand passes over those that were used since it came by last.
local found, templates = {}, {}
local ring, size, hand, room = {}, 0, 1, nil

local function drop(e)
    ffi.gc(e.handle, nil)
    free(cx, e.id)
    e.id = -1
end

local function evict(e)
    e.home[e.key] = nil
    if e.above and next(e.home) == nil and e.above[e.above_key] == e.home then
        e.above[e.above_key] = nil
    end
    -- What an iterator or a replacing function may still use goes with it.
    if not e.held then
        drop(e)
    end
end

local function remember(e, home, key, above, above_key)
    e.home, e.key, e.above, e.above_key = home, key, above, above_key
    home[key] = e
    if size < room then
        size = size + 1
        ring[size] = e
        return
    end
    local old = ring[hand]
    while old.used do
        old.used = false
        hand = hand % room + 1
        old = ring[hand]
    end
    evict(old)
    ring[hand] = e
    hand = hand % room + 1
end

-- An expression that is not in the cache; its errors are raised where the public function was called.
local function compile(regex, opts, replace)
    if type(regex) ~= "string" then
        if type(regex) ~= "number" then
            error("bad argument #2 (string expected, got " .. type(regex) .. ")", 3)
        end
        regex = tostring(regex)
    end
    if type(opts) ~= "string" then
        opts = opts and tostring(opts) or ""
    end
    local id, last, keep, utf, lists, names = native_compile(regex, opts, replace)
    if not id then
        return nil, last
    end
    local e = { handle = Handle(id), id = id, last = last, utf = utf, lists = lists, names = names, collect = collector(last) }
    if not keep then
        return e
    end
    room = room or C.regex_cache_entries(cx)
    if room < 1 then
        return e
    end
    e.keep = true
    if not replace then
        local home = found[opts] or {}
        found[opts] = home
        remember(e, home, regex)
    else
        local above = templates[opts] or {}
        templates[opts] = above
        local home = above[regex] or {}
        above[regex] = home
        remember(e, home, replace, above, regex)
    end
    return e
end

local function lookup(regex, opts)
    local home = opts and found[opts]
    local e = home and home[regex]
    if e then
        e.used = true
        return e
    end
    return compile(regex, opts)
end

-- Where a search with this table begins.
local function position(ctx, subj)
    local pos = ctx.pos
    if not pos or pos <= 0 then
        return 0
    end
    -- Beyond the end is an error, however far.
    return floor(min(pos, #subj + 2)) - 1
end

function re.match(subj, regex, opts, ctx, groups)
    if type(subj) ~= "string" then
        subj = tostring(subj)
    end
    local pos = ctx and position(ctx, subj) or 0
    local e, err = lookup(regex, opts)
    if not e then
        return nil, err
    end
    local rc = search(cx, e.id, subj, #subj, pos)
    local to
    if rc > 0 then
        to = caps[1]
        if groups then
            refill(e, subj, groups)
        else
            groups = e.collect(subj)
            if e.names then
                add_names(e, groups)
            end
        end
    end
    if not e.keep then
        drop(e)
    end
    if rc > 0 then
        if ctx then
            ctx.pos = to + 1
        end
        return groups
    end
    if rc == K.NO_MATCH then
        return nil
    end
    return nil, "pcre_exec() failed: " .. rc
end

function re.find(subj, regex, opts, ctx, nth)
    if type(subj) ~= "string" then
        subj = tostring(subj)
    end
    local pos = ctx and position(ctx, subj) or 0
    local e, err = lookup(regex, opts)
    if not e then
        return nil, nil, err
    end
    local rc = search(cx, e.id, subj, #subj, pos)
    local last = e.last
    if not e.keep then
        drop(e)
    end
    if rc == K.NO_MATCH then
        return nil
    end
    if rc < 0 then
        return nil, nil, "pcre_exec() failed: " .. rc
    end
    if not nth or nth < 0 then
        nth = 0
    end
    local from, to, stop = -1, -1, caps[1]
    if nth <= last then
        from, to = caps[nth * 2], caps[nth * 2 + 1]
    end
    if ctx then
        ctx.pos = stop + 1
    end
    if nth > last then
        return nil, nil, "nth out of bound"
    end
    if from < 0 then
        return nil, nil
    end
    return from + 1, to
end

-- Where to go on behind an empty match: not within a character.
local function step(e, subj, pos)
    pos = pos + 1
    if e.utf then
        local c = byte(subj, pos + 1)
        while c and c >= 0x80 and c < 0xc0 do
            pos = pos + 1
            c = byte(subj, pos + 1)
        end
    end
    return pos
end

-- The groups of the next match from `pos` on, its start and end, and where to go on; or nil and an error.
local function advance(e, subj, pos)
    local rc = search(cx, e.id, subj, #subj, pos)
    if rc == K.NO_MATCH then
        return nil
    end
    if rc < 0 then
        return nil, "pcre_exec() failed: " .. rc
    end
    local from, to = caps[0], caps[1]
    local groups = collect(e, subj)
    return groups, from, to, from == to and step(e, subj, to) or to
end

-- A closure would end compiled code.
local iterator = {
    __call = function(self)
        local e, subj = self.e, self.subj
        if not e then
            return nil
        end
        local groups, from, _, pos = advance(e, subj, self.pos)
        self.pos = pos
        if not groups or pos > #subj then
            self.e, self.subj = nil, nil
            if not e.keep then
                drop(e)
            end
            if from and not groups then
                return nil, from
            end
        end
        return groups
    end,
}

function re.gmatch(subj, regex, opts)
    if type(subj) ~= "string" then
        subj = tostring(subj)
    end
    local e, err = lookup(regex, opts)
    if not e then
        return nil, err
    end
    e.held = true
    return setmetatable({ e = e, subj = subj, pos = 0 }, iterator)
end

local function replace_by_call(subj, regex, replace, opts, all)
    local e, err = lookup(regex, opts)
    if not e then
        return nil, nil, err
    end
    e.held = true
    local parts, n, count, copied, pos = {}, 0, 0, 0, 0
    repeat
        local groups, from, to, behind = advance(e, subj, pos)
        if not groups then
            err = from
            break
        end
        count = count + 1
        parts[n + 1] = sub(subj, copied + 1, from)
        parts[n + 2] = tostring(replace(groups))
        n, copied, pos = n + 2, to, behind
    until not all or pos > #subj
    if not e.keep then
        drop(e)
    end
    if err then
        return nil, nil, err
    end
    if count == 0 then
        return subj, 0
    end
    parts[n + 1] = sub(subj, copied + 1)
    return concat(parts), count
end

local function lookup_template(regex, opts, replace)
    local above = opts and templates[opts]
    local home = above and above[regex]
    local e = home and home[replace]
    if e then
        e.used = true
        return e
    end
    return compile(regex, opts, replace)
end

local function replace_by_template(subj, regex, replace, opts, all)
    local e, err = lookup_template(regex, opts, replace)
    if not e then
        return nil, nil, err
    end
    local count = substitute(cx, e.id, subj, #subj, all)
    local result = subj
    if count > 0 then
        result = text()
    end
    if not e.keep then
        drop(e)
    end
    if count < 0 then
        return nil, nil, "pcre_exec() failed: " .. count
    end
    return result, count
end

-- `all` is 1 for every match, 0 for the first.
local function substituted(subj, regex, replace, opts, all)
    if type(subj) ~= "string" then
        subj = tostring(subj)
    end
    if type(replace) == "function" then
        return replace_by_call(subj, regex, replace, opts, all == 1)
    end
    return replace_by_template(subj, regex, type(replace) == "string" and replace or tostring(replace), opts, all)
end

function re.sub(subj, regex, replace, opts)
    return substituted(subj, regex, replace, opts, 0)
end

function re.gsub(subj, regex, replace, opts)
    return substituted(subj, regex, replace, opts, 1)
end

-- For code that keeps what was compiled and searches with it (see re_match_compile).
getmetatable(ngx).exec_regex = function(entry, _, subj, length, pos)
    local rc = search(cx, entry.id, subj, tonumber(length), tonumber(pos))
    return rc == K.NO_MATCH and -1 or rc
end

local version = "0.1.33"
G.package.loaded["resty.core.regex"] = {
    version = version,
    re_match_compile = function(regex, opts)
        local entry, message = lookup(regex, opts)
        if not entry then
            return nil, message
        end
        entry.held, entry.ncaptures, entry.name_count = true, entry.last, entry.names and #entry.names / 2 or 0
        return entry, entry.keep == true, 0
    end,
    collect_captures = function(entry, rc, subj, _, groups)
        return rc > 0 and refill(entry, subj, groups or {}) or nil
    end,
    is_regex_cache_empty = function()
        return size == 0
    end,
}
