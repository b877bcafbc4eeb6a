-- `jit.v`: a line for each trace that the compiler makes, gives up or throws away, in the form that LuaJIT's own prints.
local jutil = require "jit.util"
local funcinfo, traceinfo, attach = jutil.funcinfo, jutil.traceinfo, jit.attach
local type, tostring, pcall = type, tostring, pcall
local out, mine, begun, parent

local function place(f, pc)
    local info = funcinfo(f, pc)
    return info.loc or info.ffid and "builtin#" .. info.ffid or info.addr and ("C:%x"):format(info.addr) or "(?)"
end

-- Why the compiler gave up: in words where the compiler's table of them is installed, else its number.
local function reason(code, detail)
    if type(code) ~= "number" then
        return tostring(code)
    end
    local found, names = pcall(require, "jit.vmdef")
    local text = found and names.traceerr[code]
    if not text then
        return "error " .. code
    end
    return text:format(type(detail) == "function" and place(detail) or detail)
end

local function linked(number, f, pc)
    local info = traceinfo(number)
    local link, kind = info.link, info.linktype
    if kind == "interpreter" then
        return "-- fallback to interpreter"
    elseif kind == "stitch" then
        return "stitch " .. place(f, pc)
    elseif link == number or link == 0 then
        return kind
    end
    return "-> " .. link .. (kind == "root" and "" or " " .. kind)
end

local function line(what, number, f, pc, other, detail)
    if what == "start" then
        parent = other and ("(%s/%s) "):format(other, detail == -1 and "stitch" or detail) or ""
        begun = place(f, pc)
    elseif what == "stop" then
        return ("[TRACE %3s %s%s %s]\n"):format(number, parent, begun, linked(number, f, pc))
    elseif what == "abort" then
        local at = place(f, pc)
        return ("[TRACE --- %s%s -- %s%s]\n"):format(parent, begun, reason(other, detail), at ~= begun and " at " .. at or "")
    else
        return ("[TRACE %s]\n"):format(what)
    end
end

local function report(...)
    local text = line(...)
    if text then
        out:write(text)
        out:flush()
    end
end

local function off()
    if out then
        attach(report)
        if mine then
            out:close()
        end
        out, mine = nil, false
    end
end

local function on(file)
    off()
    file = file or os.getenv "LUAJIT_VERBOSEFILE"
    if file and file ~= "-" then
        out, mine = assert(io.open(file, "w")), true
    else
        out, mine = file and io.stdout or io.stderr, false
    end
    attach(report, "trace")
end

return { on = on, off = off, start = on }
