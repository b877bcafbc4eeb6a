-- What the VM defines in Lua itself. It gets the markers and native functions of the Rust side and returns the
-- functions that Rust calls. Every function here that reports an error names the line of its caller.
local b = ...
local RAISE, PENDING, SUSPEND, report = b.RAISE, b.PENDING, b.SUSPEND, b.report
local light, blame, cdef, ends = b.light, b.blame, b.cdef, b.ends
local G = _G
local ffi = require "ffi"
local co_yield, co_resume, co_create = coroutine.yield, coroutine.resume, coroutine.create
local co_status, co_running, can_wait = coroutine.status, coroutine.running, coroutine.isyieldable
local error, pcall, type, select, rawset, tostring = error, pcall, type, select, rawset, tostring
local setfenv, getfenv, next, setmetatable = setfenv, getfenv, next, setmetatable
local traceback, getinfo, dump, loadstring, loadfile = debug.traceback, debug.getinfo, string.dump, loadstring, loadfile
local byte, char, find, gsub, gmatch, match = string.byte, string.char, string.find, string.gsub, string.gmatch, string.match
local ffi_string, ffi_cast = ffi.string, ffi.cast
local searchpath = package.searchpath
local band = require("bit").band

-- Nobody called a finalizer who could be told of its error.
jit.attach(function(err)
    io.stderr:write("ERROR in finalizer: ", tostring(err), "\n")
end, "errfin")

ffi.cdef(cdef)
local cx = ffi_cast("lunette_cx *", b.cx)

-- A native function counts the object among its arguments; to who calls it as a method the object is none, as with `luaL_argerror`.
-- A function that is called '?' has the name by which it was called, if by any.
local function seen_by_caller(message, level)
    local number, name, rest = match(message, "^bad argument #(%d+) to '(.-)'(.*)$")
    local info = number and getinfo(level, "n")
    if not info then
        return message
    end
    if name == "?" then
        name = info.name or name
    end
    if info.namewhat == "method" then
        number = number - 1
        if number == 0 then
            return "calling '" .. name .. "' on bad self" .. rest
        end
    end
    return "bad argument #" .. number .. " to '" .. name .. "'" .. rest
end

-- Native functions never raise and never yield: their shim does it for them.
local function finish(...)
    local a, message, level = ...
    if a == RAISE then
        error(seen_by_caller(message, level), level)
    end
    if a == PENDING then
        return finish(co_yield(SUSPEND))
    end
    return ...
end

local function shim(native)
    return function(...)
        return finish(native(...))
    end
end

-- For glue that calls a native function itself, with a fixed number of results so that the compiled code can go on
-- behind the call: the first result is RAISE, and the function is left through this.
local function raised(message, level)
    error(seen_by_caller(message, level), level)
end

-- The same for a native function that suspends: where its first result is PENDING, or a fast row has parked the thread,
-- this gives the results of the call once it goes on.
local function wait()
    return finish(co_yield(SUSPEND))
end

-- To be called last, so that it may return where nothing else is left of the thread.
local function stop()
    if ends() then
        return
    end
    while true do
        co_yield(SUSPEND)
    end
end

-- By a variable: LuaJIT does not compile a function for itself that ends in the call of one of its own.
local function text()
    local bytes = ffi_string(cx.p, cx.n)
    return bytes
end

-- coroutine.*: plain coroutines, except that a suspended API call travels through the whole chain of resumers.
-- `held` names the coroutines that are inside such a call, as the rest of the program must see them.
local held = setmetatable({}, { __mode = "k" })

-- Coroutines that resume each other stand on the stack of the machine's thread, which has an end.
local MAX_DEPTH = 50000
local depth = 0

local function left(...)
    depth = depth - 1
    return ...
end

local relay
local function relayed(co, me, mine, ...)
    held[co], held[me] = nil, mine
    depth = depth + 1
    return relay(co, left(co_resume(co, ...)))
end

function relay(co, ...)
    local ok, a = ...
    if ok and a == SUSPEND then
        local me = co_running()
        local mine = held[me]
        held[co] = held[co] or "running"
        held[me] = "normal"
        return relayed(co, me, mine, co_yield(SUSPEND))
    end
    return ...
end

-- The hot path must hand on the exact number of values.
local function passed(co, ...)
    depth = depth - 1
    local ok, a = ...
    if ok and a == SUSPEND then
        return relay(co, ...)
    end
    if ok == false and a == "cannot resume running coroutine" and co_status(co) == "normal" then
        return false, "cannot resume normal coroutine"
    end
    return ...
end

local thread_status = b.thread_status
local function status(co)
    if type(co) ~= "thread" then
        error("bad argument #1 to 'status' (coroutine expected)", 2)
    end
    local h = held[co]
    if h then
        return h
    end
    if light[co] then
        local s = thread_status(co)
        if s then
            return s
        end
    end
    return co_status(co)
end

local function resume(co, ...)
    if type(co) ~= "thread" then
        error("bad argument #1 to 'resume' (coroutine expected)", 2)
    end
    local h = held[co]
    if h == nil and light[co] then
        h = thread_status(co)
    end
    if h then
        return false, "cannot resume " .. h .. " coroutine"
    end
    if depth >= MAX_DEPTH then
        return false, "C stack overflow"
    end
    depth = depth + 1
    return passed(co, co_resume(co, ...))
end

local function unwrapped(co, ok, ...)
    if ok then
        return ...
    end
    local message = ...
    if band(cx.phase, b.yields) == 0 then
        -- Where nothing can suspend, coroutines are plain Lua's, whose wrap names its caller.
        error(message, 2)
    end
    -- The traceback of an uncaught error shows the coroutine it came from.
    blame[co_running()] = { co, message }
    error(message, 0)
end

local function wrap(f)
    if type(f) ~= "function" then
        error("bad argument #1 to 'wrap' (function expected)", 2)
    end
    local co = co_create(f)
    return function(...)
        if held[co] then
            error("cannot resume " .. held[co] .. " coroutine", 2)
        end
        if depth >= MAX_DEPTH then
            error("C stack overflow", 2)
        end
        depth = depth + 1
        return unwrapped(co, passed(co, co_resume(co, ...)))
    end
end

coroutine.status, coroutine.resume, coroutine.wrap = status, resume, wrap
-- OpenResty's names for Lua's own functions and for those that know requests; here they are the same.
for _, name in ipairs { "create", "resume", "status", "wrap", "yield" } do
    coroutine["_" .. name], coroutine["__" .. name] = coroutine[name], coroutine[name]
end

-- require: in Lua, so that a module's top level may suspend; and modules have the real globals.
local loaded, loading = package.loaded, setmetatable({}, { __mode = "v" })
-- How often each module has been loaded.
local loads = {}
-- Stands in `package.loaded` for a module that is being loaded or that failed; who takes it away may require it again.
local UNFINISHED = newproxy()

-- Modules that come with the server and give way to files of their names: the loader, and the places whose files are
-- not what they give way to.
local supplies = {}

local function yields_to(file, name, before)
    local relative = gsub(name, "%.", "/")
    for template in gmatch(before, "[^;]+") do
        if gsub(template, "%?", { ["?"] = relative }) == file then
            return false
        end
    end
    return true
end

local function module_loader(name)
    local file, tried = searchpath(name, package.path)
    local supply = supplies[name]
    if supply and not (file and yields_to(file, name, supply.before)) then
        return supply.loader
    end
    if not file then
        return tried
    end
    local f, message = loadfile(file)
    if not f then
        error("error loading module '" .. name .. "' from file '" .. file .. "':\n\t" .. message, 0)
    end
    return setfenv(f, G)
end
package.loaders[2] = module_loader

local function find_loader(name)
    local loaders = package.loaders
    if type(loaders) ~= "table" then
        error("'package.loaders' must be a table", 3)
    end
    local tried = ""
    local i = 1
    while true do
        local loader = loaders[i]
        if loader == nil then
            error("module '" .. name .. "' not found:" .. tried, 3)
        end
        local found = loader(name)
        if type(found) == "function" then
            return found
        elseif type(found) == "string" then
            tried = tried .. found
        end
        i = i + 1
    end
end

local function run_loader(f, name)
    local env = getfenv(0)
    if env == G then
        return true, f(name)
    end
    setfenv(0, G)
    local ok, value = pcall(f, name)
    setfenv(0, env)
    return ok, value
end

function require(name)
    if type(name) == "number" then
        name = tostring(name)
    elseif type(name) ~= "string" then
        local got = name == nil and "no value" or type(name)
        error("bad argument #1 to 'require' (string expected, got " .. got .. ")", 2)
    end
    local value = loaded[name]
    if value and value ~= UNFINISHED then
        return value
    end
    local me = co_running()
    if value and loading[name] == me then
        error("loop or previous error loading module '" .. name .. "'", 2)
    end
    local before, turn = loading[name], loads[name] or 0
    local f = find_loader(name)
    loading[name], loaded[name] = me, UNFINISHED
    local ok, result = run_loader(f, name)
    if loading[name] == me then
        loading[name] = before
    end
    value = loaded[name]
    if value == UNFINISHED then
        value, loaded[name] = nil, nil
    end
    if not ok then
        error(result, 0)
    end
    if value and (loads[name] or 0) ~= turn then
        -- Another thread has finished the same module meanwhile: one instance wins.
        return value
    end
    loads[name] = turn + 1
    if result ~= nil then
        value = result
    elseif value == nil or value == false then
        value = true
    end
    loaded[name] = value
    return value
end

-- Chunks. A cached chunk makes any number of closures that share one prototype and thus their compiled traces. The
-- only instruction that makes a closure of a prototype is the one that a surrounding function runs, so the chunk's
-- bytecode gets a surrounding function that does nothing else.
local function uleb(s, i)
    local v, m = 0, 1
    while true do
        local c = byte(s, i)
        i = i + 1
        v = v + (c % 128) * m
        if c < 128 then
            return v, i
        end
        m = m * 128
    end
end

local function last_prototype(code)
    local flags, i = uleb(code, 5)
    if flags % 4 < 2 then
        local n
        n, i = uleb(code, i)
        i = i + n
    end
    local start, body
    while true do
        local n, j = uleb(code, i)
        if n == 0 then
            return start, body, i
        end
        start, body, i = i, j, j + n
    end
end

local maker
do
    local code = dump(loadstring("return function(...) end", "=maker"))
    maker = code:sub((last_prototype(code)))
end

local function factory(source, name)
    local f, message = loadstring(source, name)
    if not f then
        return nil, message
    end
    local code = dump(f)
    local _, body, stop_at = last_prototype(code)
    local flags = byte(code, body)
    -- A chunk without `...` need not be variadic, and LuaJIT compiles only functions that are not.
    if flags % 4 >= 2 and byte(source, 1) ~= 27 and not find(source, "...", 1, true) then
        flags = flags - 2
    end
    code = code:sub(1, body - 1) .. char(flags) .. code:sub(body + 1, stop_at - 1) .. maker
    return loadstring(code, name)
end

local function set_path(field, value)
    local default = gsub(package[field], "%%", "%%%%")
    package[field] = (gsub(gsub(value, ";;", ";\1;"), "\1", default))
end

local function loader_of(name, source)
    return function(...)
        local f, message = loadstring(source, "=" .. name)
        if not f then
            error(message, 0)
        end
        return setfenv(f, G)(...)
    end
end

local function preload(name, source)
    package.preload[name] = loader_of(name, source)
end

local function supply(name, source, before)
    supplies[name] = { loader = loader_of(name, source), before = before }
end

-- What finalizers leave behind: a function for them, which notes a value, and one that returns the list of what was noted since, or nil. A
-- finalizer must not call into the machine, and it runs between any two instructions of compiled code, so that a counter beside the list
-- could be reset behind its back: the list alone says how long it is, and it is replaced before it is read.
local function finalized()
    local list = {}
    return function(value)
        list[#list + 1] = value
    end, function()
        if list[1] == nil then
            return nil
        end
        local noted = list
        list = {}
        return noted
    end
end

local function glue(source, name, fast, native)
    local C, R, N = {}, {}, {}
    for k, entry in next, fast do
        C[k] = ffi_cast(entry[1], entry[2])
    end
    for k, f in next, native do
        R[k], N[k] = shim(f), f
    end
    local f, message = loadstring(source, "=" .. name)
    if not f then
        error(message, 0)
    end
    f {
        C = C, R = R, N = N, RAISE = RAISE, raised = raised, PENDING = PENDING, wait = wait, cx = cx, text = text,
        stop = stop, can_wait = can_wait, finalized = finalized, ngx = G.ngx, G = G,
    }
end

local function explain(message)
    if type(message) == "string" or type(message) == "number" then
        -- The frame of this function is gone by then: 1 is who failed.
        return traceback(message, 1)
    end
    return message
end

-- What OpenResty's LuaJIT has beyond the upstream one. As with table.new, the function is a field of `table` once its
-- module was required.
local function extend(name, f)
    package.preload["table." .. name] = function()
        local function checked(t)
            if type(t) ~= "table" then
                error("bad argument #1 to '" .. name .. "' (table expected, got " .. type(t) .. ")", 2)
            end
            return f(t)
        end
        G.table[name] = checked
        return checked
    end
end

local floor = math.floor
extend("isempty", function(t)
    return next(t) == nil
end)
extend("isarray", function(t)
    for k in next, t do
        if type(k) ~= "number" or k < 0 or floor(k) ~= k then
            return false
        end
    end
    return true
end)
extend("nkeys", function(t)
    local n = 0
    for _ in next, t do
        n = n + 1
    end
    return n
end)
extend("clone", function(t)
    local copy = {}
    for k, v in next, t do
        copy[k] = v
    end
    return copy
end)

local function exdata(default)
    local data = setmetatable({}, { __mode = "k" })
    return function(...)
        local me = co_running()
        if select("#", ...) > 0 then
            data[me] = ...
            return
        end
        local value = data[me]
        -- What init_by_lua* runs for is no request.
        if value == nil and default and cx.req ~= nil and band(cx.phase, b.init) == 0 then
            return cx.req
        end
        return value
    end
end
package.preload["thread.exdata"] = function()
    return exdata(true)
end
package.preload["thread.exdata2"] = function()
    return exdata(false)
end

G.ngx = {}
loaded.ngx = G.ngx
require("jit.opt").start("maxtrace=8000", "maxrecord=16000", "minstitch=3", "maxmcode=40960")
