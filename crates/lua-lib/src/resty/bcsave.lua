-- `jit.bcsave`: saves a Lua file's bytecode, as `luajit -b` does. Only the raw format, which is what is loaded again.
local bcsave = {}

local function failed(message)
    error("luajit: " .. message, 0)
end

function bcsave.start(...)
    local files, strip, list = {}, true, nil
    local arguments = { ... }
    local i = 1
    while i <= #arguments do
        local argument = arguments[i]
        if argument == "-g" then
            strip = false
        elseif argument == "-s" then
            strip = true
        elseif argument == "-t" then
            i = i + 1
            if arguments[i] ~= "raw" then
                failed("file type " .. tostring(arguments[i]) .. " is not supported: only raw is")
            end
        elseif argument == "-e" then
            i = i + 1
            list = arguments[i]
        elseif argument:sub(1, 1) == "-" and argument ~= "-" then
            failed("unknown option " .. argument)
        else
            files[#files + 1] = argument
        end
        i = i + 1
    end
    local chunk, message
    if list then
        chunk, message = loadstring(list, "=(command line)")
    else
        chunk, message = loadfile(table.remove(files, 1))
    end
    if not chunk then
        failed(message)
    end
    local output = files[1]
    if not output or #files > 1 then
        failed("one output file is needed")
    end
    local file
    file, message = io.open(output, "wb")
    if not file then
        failed("cannot write " .. message)
    end
    file:write(string.dump(chunk, strip))
    file:close()
end

return bcsave
