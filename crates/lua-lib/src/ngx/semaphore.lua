local b = ...
local C, R, cx, G = b.C, b.R, b.cx, b.G
local type, tonumber, error, setmetatable = type, tonumber, error, setmetatable
local ffi = require "ffi"
local new, post, count, free, wait = C.semaphore_new, C.semaphore_post, C.semaphore_count, C.semaphore_free, R.semaphore_wait

-- Numbers of semaphores whose objects are gone.
local note, noted = b.finalized()
local number = ffi.typeof("struct { double id; }")
local function finalize(object)
    note(object.id)
end

local semaphore = { version = "0.1.33" }
local meta = { __index = semaphore }

local function id_of(self)
    local object = type(self) == "table" and self.sem
    if type(object) ~= "cdata" then
        error("not a semaphore instance", 3)
    end
    return object.id
end

function semaphore.new(n)
    n = tonumber(n) or 0
    if n < 0 then
        error("no negative number", 2)
    end
    local dead = noted()
    for i = 1, dead and #dead or 0 do
        free(cx, dead[i])
    end
    local object = number()
    object.id = new(cx, n)
    ffi.gc(object, finalize)
    return setmetatable({ sem = object }, meta)
end

function semaphore.wait(self, seconds)
    local id = id_of(self)
    if b.ngx.get_phase() == "init" then
        error("no request found", 2)
    end
    local milliseconds = tonumber(seconds) * 1000
    if milliseconds < 0 then
        error("no negative number", 2)
    end
    local ok, err = wait(id, milliseconds)
    if ok then
        return true
    end
    return ok, err
end

function semaphore.post(self, n)
    local id = id_of(self)
    n = n and tonumber(n) or 1
    if n < 1 then
        error("positive number required", 2)
    end
    post(cx, id, n)
    return true
end

function semaphore.count(self)
    return count(cx, id_of(self))
end

G.package.loaded["ngx.semaphore"] = semaphore
