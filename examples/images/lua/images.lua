-- Sizes of images: originals are PPM files (plain or binary), answers are BMP, which browsers show.
local bit = require "bit"

local images = {}

local function le(number, bytes)
    local out = {}
    for i = 1, bytes do
        out[i] = string.char(bit.band(bit.rshift(number, 8 * (i - 1)), 255))
    end
    return table.concat(out)
end

-- Width, height, and the samples of a PPM with at most 255 a sample; nil and what is wrong.
local function read(path)
    local file = io.open(path, "rb")
    if not file then
        return nil, "not found"
    end
    local text = file:read("*a")
    file:close()
    local kind, width, height, most, at = text:match("^(P[36])%s+(%d+)%s+(%d+)%s+(%d+)%s()")
    width, height = tonumber(width), tonumber(height)
    if not kind or tonumber(most) ~= 255 or width * height > 4096 * 4096 then
        return nil, "unknown format"
    end
    local samples = {}
    if kind == "P6" then
        for i = 1, width * height * 3 do
            samples[i] = text:byte(at + i - 1)
        end
    else
        for number in text:sub(at):gmatch("%d+") do
            samples[#samples + 1] = tonumber(number)
        end
    end
    if #samples ~= width * height * 3 then
        return nil, "truncated"
    end
    return width, height, samples
end

-- Each pixel of the answer is the mean of those that it covers.
local function scale(width, height, samples, to)
    local factor = width / to
    local rows = math.max(1, math.floor(height / factor))
    local out = {}
    for y = rows - 1, 0, -1 do
        local line = {}
        for x = 0, to - 1 do
            local red, green, blue, count = 0, 0, 0, 0
            for v = math.floor(y * factor), math.max(math.ceil((y + 1) * factor) - 1, math.floor(y * factor)) do
                for u = math.floor(x * factor), math.max(math.ceil((x + 1) * factor) - 1, math.floor(x * factor)) do
                    local i = (math.min(v, height - 1) * width + math.min(u, width - 1)) * 3
                    red, green, blue, count = red + samples[i + 1], green + samples[i + 2], blue + samples[i + 3], count + 1
                end
            end
            line[#line + 1] = string.char(math.floor(blue / count), math.floor(green / count), math.floor(red / count))
        end
        -- Lines of a BMP end at a multiple of four bytes.
        line[#line + 1] = string.rep("\0", -(to * 3) % 4)
        out[#out + 1] = table.concat(line)
    end
    return rows, table.concat(out)
end

local function bmp(width, height, pixels)
    return "BM" .. le(54 + #pixels, 4) .. le(0, 4) .. le(54, 4)
        .. le(40, 4) .. le(width, 4) .. le(height, 4) .. le(1, 2) .. le(24, 2) .. le(0, 4) .. le(#pixels, 4) .. string.rep("\0", 16)
        .. pixels
end

function images.answer()
    local name, to = ngx.var.uri:match("^/([a-z0-9-]+)/(%d+)$")
    if not name then
        return ngx.exit(404)
    end
    to = tonumber(to)
    local width, height, samples = read(ngx.config.prefix() .. "originals/" .. name .. ".ppm")
    if not width then
        if height == "not found" then
            return ngx.exit(404)
        end
        ngx.log(ngx.ERR, name, ": ", height)
        return ngx.exit(500)
    end
    local rows, pixels = scale(width, height, samples, to)
    local image = bmp(to, rows, pixels)
    ngx.header["Content-Type"] = "image/bmp"
    ngx.header["Content-Length"] = #image
    ngx.header["ETag"] = '"' .. ngx.md5(image) .. '"'
    ngx.print(image)
end

return images
