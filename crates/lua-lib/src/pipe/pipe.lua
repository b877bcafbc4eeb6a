local b = ...
local C, R, cx, ngx, G = b.C, b.R, b.cx, b.ngx, b.G
local type, tostring, tonumber, error, ipairs, select = type, tostring, tonumber, error, ipairs, select
local concat = table.concat
local find = string.find

-- Numbers of processes whose objects are gone.
local note, noted = b.finalized()
local MAX = 0xffffffff
local limits = { "write_timeout", "stdout_read_timeout", "stderr_read_timeout", "wait_timeout" }

local pipe = { version = "0.1.33" }
local new

local function check(proc)
    if type(proc) ~= "cdata" then
        error("not a process instance", 3)
    end
end

local function limit(proc, level, ...)
    for i, name in ipairs(limits) do
        local value = select(i, ...)
        if value then
            if value < 0 or value > MAX then
                error("bad " .. name .. " option", level + 1)
            end
            proc[name] = value
        end
    end
end

local methods = {}

function methods.pid(proc)
    return proc._pid
end

function methods.set_timeouts(proc, write, stdout, stderr, wait)
    limit(proc, 2, write, stdout, stderr, wait)
end

for name, from in pairs { stdout = K.STDOUT, stderr = K.STDERR } do
    local time = name .. "_read_timeout"

    local function read(proc, kind, length)
        check(proc)
        return R.pipe_read(proc.id, from, kind, length, proc[time])
    end

    methods[name .. "_read_all"] = function(proc)
        local data, err, partial = read(proc, K.ALL, 0)
        return data, err, partial
    end

    methods[name .. "_read_bytes"] = function(proc, length)
        if length <= 0 then
            if length < 0 then
                error("bad len argument", 2)
            end
            return ""
        end
        local data, err, partial = read(proc, K.BYTES, length)
        return data, err, partial
    end

    methods[name .. "_read_line"] = function(proc)
        local data, err, partial = read(proc, K.LINE, 0)
        return data, err, partial
    end

    methods[name .. "_read_any"] = function(proc, max)
        max = tonumber(max)
        if not max or max <= 0 then
            error("bad max argument", 2)
        end
        local data, err, partial = read(proc, K.ANY, max)
        return data, err, partial
    end
end

function methods.write(proc, data)
    check(proc)
    local kind = type(data)
    if kind == "table" then
        data = concat(data, "")
    elseif kind == "number" then
        data = tostring(data)
    elseif kind ~= "string" then
        error("bad data arg: string, number, or table expected, got " .. kind, 2)
    end
    return R.pipe_write(proc.id, data, proc.write_timeout)
end

local directions = { stdin = K.STDIN, stdout = K.STDOUT, stderr = K.STDERR }

function methods.shutdown(proc, direction)
    check(proc)
    local which = directions[direction]
    if not which then
        error("bad shutdown arg: " .. tostring(direction), 2)
    end
    local ok, err = R.pipe_shutdown(proc.id, which)
    if not ok then
        return nil, err
    end
    return true
end

function methods.wait(proc)
    check(proc)
    local ok, reason, status = R.pipe_wait(proc.id, proc.wait_timeout)
    return ok, reason, status
end

function methods.kill(proc, signal)
    check(proc)
    if type(signal) ~= "number" then
        error("bad signal arg: number expected, got " .. tostring(signal), 2)
    end
    local ok, err = R.pipe_kill(proc.id, signal)
    if not ok then
        return nil, err
    end
    return true
end

local function command(args)
    local kind = type(args)
    if kind == "string" then
        return { "/bin/sh", "-c", args }
    elseif kind ~= "table" then
        error("bad args arg: table expected, got " .. kind, 3)
    end
    local list = {}
    for i, arg in ipairs(args) do
        list[i] = tostring(arg)
    end
    if #list == 0 then
        error("bad args arg: non-empty table expected", 3)
    end
    return list
end

local function environment(list)
    local kind = type(list)
    if kind ~= "table" then
        error("bad environ option: table expected, got " .. kind, 3)
    end
    for i, value in ipairs(list) do
        kind = type(value)
        if kind ~= "string" then
            error("bad value at index " .. i .. " of environ option: string expected, got " .. kind, 3)
        end
        if not find(value, "=", 2, true) then
            error("bad value at index " .. i .. " of environ option: 'name=[value]' format expected, got '" .. value .. "'", 3)
        end
    end
    return #list > 0 and list or nil
end

function pipe.spawn(args, opts)
    if ngx.get_phase() == "init" then
        error("API disabled in the current context", 2)
    end
    local list, proc, size, environ, merge = command(args), new(), 4096, nil, false
    limit(proc, 2, 10000, 10000, 10000, 10000)
    if opts then
        merge = opts.merge_stderr and true or false
        if opts.buffer_size then
            size = tonumber(opts.buffer_size)
            if not size or size < 1 then
                error("bad buffer_size option", 2)
            end
        end
        if opts.environ then
            environ = environment(opts.environ)
        end
        limit(proc, 2, opts.write_timeout, opts.stdout_read_timeout, opts.stderr_read_timeout, opts.wait_timeout)
    end
    local dead = noted()
    for i = 1, dead and #dead or 0 do
        C.pipe_free(cx, dead[i])
    end
    local id, pid = R.pipe_spawn(list, merge, size, environ)
    if not id then
        return nil, pid
    end
    proc.id, proc._pid = id, pid
    return proc
end

G.package.preload["ngx.pipe"] = function()
    local ffi = require "ffi"
    new = ffi.metatype(ffi.typeof [[
        struct {
            double id; int _pid;
            uint32_t write_timeout, stdout_read_timeout, stderr_read_timeout, wait_timeout;
        }
    ]], {
        __index = methods,
        __gc = function(proc)
            if proc.id ~= 0 then
                note(proc.id)
            end
        end,
    })
    return pipe
end
