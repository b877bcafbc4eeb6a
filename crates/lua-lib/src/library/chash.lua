-- A ring of consistent hashing (README of lua-resty-balancer): 160 points for each unit of weight. A node's points are a chain of
-- CRC-32 sums as nginx makes them, so that ring and answers are lua-resty-balancer's.
local ngx, pairs, tostring, tonumber, floor, sort = ngx, pairs, tostring, tonumber, math.floor, table.sort
local ffi, bit, utils = require "ffi", require "bit", require "resty.balancer.utils"
local bxor, band, rshift = bit.bxor, bit.band, bit.rshift
local crc32 = ngx.crc32_short

local POINTS = 160
local ring_type = ffi.typeof "struct { uint32_t hash, id; }[?]"

local table_of_sums = ffi.new "uint32_t[256]"
for i = 0, 255 do
    local sum = i
    for _ = 1, 8 do
        sum = bxor(rshift(sum, 1), band(sum, 1) ~= 0 and 0xEDB88320 or 0)
    end
    table_of_sums[i] = sum
end

local chash = {}

-- The points number `from` to `from + count - 1` of a node, sorted.
local function points_of(id, from, count)
    local base, value, points = bxor(crc32(tostring(id)), 0xffffffff), 0, utils.new_tab(count, 0)
    for i = 0, from + count - 1 do
        local sum = base
        for shift = 0, 24, 8 do
            sum = bxor(tonumber(table_of_sums[band(bxor(sum, rshift(value, shift)), 0xff)]), rshift(sum, 8))
        end
        value = bxor(sum, 0xffffffff)
        if i >= from then
            points[i - from + 1] = value % 4294967296
        end
    end
    sort(points)
    return points
end

-- A ring of `size` places.
local function place(self, size)
    if size > self.size then
        local wider = ring_type(size)
        ffi.copy(wider, self.points, self.npoints * ffi.sizeof "uint64_t")
        self.points, self.size = wider, size
    end
end

-- Merges points into the ring, from its end on. Of equal points the one that was there before comes first.
local function merge(self, index, points)
    local count, before = #points, self.npoints
    place(self, before + count)
    local ring = self.points
    local at, new, old = before + count - 1, count, before - 1
    while new > 0 do
        if old >= 0 and ring[old].hash > points[new] then
            ring[at] = ring[old]
            old = old - 1
        else
            ring[at].hash, ring[at].id = points[new], index
            new = new - 1
        end
        at = at - 1
    end
    self.npoints = before + count
end

-- Takes points of a node out of the ring; all of them if none are given.
local function take_out(self, index, points)
    local ring, kept, next_point = self.points, 0, 1
    for i = 0, self.npoints - 1 do
        local goes = ring[i].id == index and (not points or ring[i].hash == points[next_point])
        if goes then
            next_point = next_point + 1
        else
            ring[kept] = ring[i]
            kept = kept + 1
        end
    end
    self.npoints = kept
end

-- All points are gathered and sorted once; as numbers, they carry the node in the part behind the binary point.
function chash.reinit(self, nodes)
    local all, count, ids = {}, 0, {}
    for id, weight in pairs(nodes) do
        local index = #ids + 1
        ids[index] = id
        local points = points_of(id, 0, weight * POINTS)
        for i = 1, #points do
            all[count + i] = points[i] * 1048576 + index
        end
        count = count + #points
    end
    sort(all)
    local ring = ring_type(count)
    for i = 1, count do
        local hash = floor(all[i] / 1048576)
        ring[i - 1].hash, ring[i - 1].id = hash, all[i] - hash * 1048576
    end
    self.nodes, self.ids, self.points, self.npoints, self.size = utils.copy(nodes), ids, ring, count, count
end

local function index_of(ids, id)
    for index, known in pairs(ids) do
        if known == id then
            return index
        end
    end
end

function chash.delete(self, id)
    if not self.nodes[id] then
        return
    end
    local index = index_of(self.ids, id)
    self.nodes[id], self.ids[index] = nil, nil
    take_out(self, index)
end

local function changed(self, id, old, new)
    local index = old > 0 and index_of(self.ids, id)
    if new < old then
        return take_out(self, index, points_of(id, new * POINTS, (old - new) * POINTS))
    end
    if not index then
        index = #self.ids + 1
        self.ids[index] = id
    end
    merge(self, index, points_of(id, old * POINTS, (new - old) * POINTS))
end

-- The first point that is not below the key's hash, or the ring's first.
function chash.find(self, key)
    local ring, count, hash = self.points, self.npoints, crc32(tostring(key))
    local low, high = 0, count
    while low < high do
        local middle = floor((low + high) / 2)
        if ring[middle].hash < hash then
            low = middle + 1
        else
            high = middle
        end
    end
    if low == count then
        low = 0
    end
    return self.ids[tonumber(ring[low].id)], low
end

function chash.next(self, index)
    index = (index + 1) % self.npoints
    return self.ids[tonumber(self.points[index].id)], index
end

return utils.complete(chash, changed)
