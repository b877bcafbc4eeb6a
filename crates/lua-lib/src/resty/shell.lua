-- `resty.shell`: runs a program, gives it its input, and gathers what it says.
local spawn = require "ngx.pipe".spawn
local start, join, sleep, tostring = ngx.thread.spawn, ngx.thread.wait, ngx.sleep, tostring

local TERM, KILL = 15, 9
local options = { buffer_size = 32768 }

-- Ends the program: it has a moment to go by itself.
local function stop(proc)
    if proc:kill(TERM) then
        sleep(0.001)
        proc:kill(KILL)
    end
end

-- One read holds the pipe until its end: what is in it when the program has ended is not lost.
local function gather(proc, read, max)
    local data, err, partial = proc[read](proc, max + 1)
    if data then
        return data, "too much data"
    end
    return partial or "", err ~= "closed" and err or nil
end

local function joined(thread, what)
    local ok, text, err = join(thread)
    if not ok then
        return "", "failed to wait " .. what .. " thread: " .. tostring(text)
    end
    return text, err and "failed to read " .. what .. ": " .. err
end

local shell = { version = 0.03 }

function shell.run(command, stdin, timeout, max)
    max = max or 131072
    local proc, err = spawn(command, options)
    if not proc then
        return nil, nil, nil, "failed to spawn: " .. tostring(err)
    end
    proc:set_timeouts(timeout, timeout, timeout, timeout)
    -- The readers come first: a program that answers while it reads waits for nobody.
    local out = start(gather, proc, "stdout_read_bytes", max)
    local errors = start(gather, proc, "stderr_read_bytes", max)
    local failure
    if stdin and stdin ~= "" then
        local written
        written, err = proc:write(stdin)
        failure = not written and "failed to write to stdin: " .. tostring(err)
    end
    if not failure then
        local closed
        closed, err = proc:shutdown("stdin")
        failure = not closed and "failed to shutdown stdin: " .. tostring(err)
    end
    local ok, reason, status
    if not failure then
        ok, reason, status = proc:wait()
        failure = ok == nil and "failed to wait for process: " .. tostring(reason)
    end
    if failure then
        stop(proc)
    end
    local stdout, out_failure = joined(out, "stdout")
    local stderr, errors_failure = joined(errors, "stderr")
    failure = failure or out_failure or errors_failure
    if failure then
        return nil, stdout, stderr, failure
    end
    return ok, stdout, stderr, reason, status
end

return shell
