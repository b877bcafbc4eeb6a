-- What a value of 100 bytes costs from where it is kept. measures/run starts this, with a Redis server beside it.
-- Prints one JSON object per line: nanoseconds for a value.
local ffi = require "ffi"
local lrucache = require "resty.lrucache"
local redis = require "resty.redis"

ffi.cdef [[
    typedef struct { long sec; long nsec; } measures_time;
    int clock_gettime(int clock, measures_time *at);
    int open(const char *path, int flags, ...);
    int posix_fadvise(int fd, long offset, long length, int advice);
    long read(int fd, void *buffer, unsigned long count);
    int close(int fd);
]]

local SOCKET, PORT, DIRECTORY = arg[1], tonumber(arg[2]), arg[3]
local KEYS = 1000

local at = ffi.new("measures_time")
local function now()
    ffi.C.clock_gettime(1, at)
    return tonumber(at.sec) * 1e9 + tonumber(at.nsec)
end

local keys, values = {}, {}
for i = 1, KEYS do
    keys[i] = "key" .. i
    values[keys[i]] = ("%03d"):format(i % 1000) .. ("x"):rep(97)
end

-- The median of some runs, each of `count` values one after the other.
local function measure(name, count, get)
    local times, total = {}, 0
    for run = 1, 11 do
        local start = now()
        for i = 1, count do
            total = total + #get(keys[i % KEYS + 1])
        end
        times[run] = (now() - start) / count
    end
    assert(total == 11 * count * 100)
    table.sort(times)
    ngx.say(('{"place": "%s", "ns": %.1f}'):format(name, times[6]))
end

measure("upvalue", 1000000, function(key)
    return values[key]
end)

local near = assert(lrucache.new(2 * KEYS))
local dict = ngx.shared.values
for key, value in pairs(values) do
    near:set(key, value)
    assert(dict:set(key, value))
end
measure("lrucache", 1000000, function(key)
    return near:get(key)
end)
measure("shared dictionary", 300000, function(key)
    return dict:get(key)
end)

local function server(name, ...)
    local red = redis:new()
    assert(red:connect(...))
    for key, value in pairs(values) do
        assert(red:set(key, value))
    end
    measure(name, 5000, function(key)
        return red:get(key)
    end)
    red:close()
end
server("Redis, unix socket", "unix:" .. SOCKET)
server("Redis, TCP", "127.0.0.1", PORT)

for key, value in pairs(values) do
    local file = assert(io.open(DIRECTORY .. "/" .. key, "w"))
    file:write(value)
    file:close()
end
local buffer = ffi.new("char[?]", 4096)
local function read(key, forget)
    local fd = ffi.C.open(DIRECTORY .. "/" .. key, 0)
    assert(fd >= 0)
    if forget then
        -- POSIX_FADV_DONTNEED: the next read must ask the disk.
        ffi.C.posix_fadvise(fd, 0, 0, 4)
    end
    local length = tonumber(ffi.C.read(fd, buffer, 4096))
    ffi.C.close(fd)
    return ffi.string(buffer, length)
end
measure("file, in memory", 50000, read)
os.execute("sync")
measure("file, on disk", 500, function(key)
    return read(key, true)
end)
