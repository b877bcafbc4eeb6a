-- What the worker of `lunette resty` runs: the user's code in a timer, with output on standard output.
local task = dofile(ngx.config.prefix() .. "conf/task.lua")
local stdout, stderr, exit, concat, select, tostring, type = io.stdout, io.stderr, os.exit, table.concat, select, tostring, type
local null = ngx.null

local function flat(value, out)
    if type(value) == "table" then
        for i = 1, #value do
            flat(value[i], out)
        end
    else
        out[#out + 1] = value == null and "null" or tostring(value)
    end
end

local function write(...)
    local out = {}
    for i = 1, select("#", ...) do
        flat((select(i, ...)), out)
    end
    return stdout:write(concat(out))
end

function ngx.print(...)
    return write(...) and 1
end

function ngx.say(...)
    return write(...) and stdout:write("\n") and 1
end

print = ngx.say

function ngx.flush()
    return stdout:flush() and 1
end

function ngx.eof()
    return 1
end

local function finish(code)
    stdout:flush()
    exit(code)
end

function ngx.exit(code)
    finish(code == ngx.OK and 0 or code)
end

local function complain(message)
    stdout:flush()
    stderr:write("ERROR: ", message, "\n")
    return message
end

local function explain(message)
    -- The frame of this function is gone by then: 1 is who failed.
    return debug.traceback(tostring(message), 1)
end

local function run(chunk, message, ...)
    if not chunk then
        complain(message)
        return false
    end
    local ok, failure = xpcall(chunk, explain, ...)
    if not ok then
        complain(failure)
    end
    return ok
end

local function all()
    for _, name in ipairs(task.modules) do
        require(name)
    end
    for _, code in ipairs(task.inline) do
        if not run(loadstring(code, "=(command line -e)")) then
            return finish(1)
        end
    end
    if task.source or task.file then
        local chunk, message
        if task.source then
            chunk, message = loadstring(task.source:gsub("^#[^\n]*", ""), "=stdin")
        else
            chunk, message = loadfile(task.file)
        end
        if not run(chunk, message, unpack(task.arguments)) then
            return finish(1)
        end
    end
    finish(0)
end

arg = task.arguments
arg[0] = task.file or "resty"

-- They are the script's alone, so nobody is warned of new ones.
local globals = setmetatable(getfenv(1), nil)

local ok, message = ngx.timer.at(0, function()
    -- Nothing else runs here: what is loaded from now on has the globals of the whole program.
    setfenv(0, globals)
    if not run(all) then
        finish(1)
    end
end)
if not ok then
    complain("failed to create the timer: " .. tostring(message))
    exit(1)
end
