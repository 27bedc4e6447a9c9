-- Reads the numbers of a provider's usage object out of an answer as it passes, and keeps nothing back of it.
--
-- An answer is one JSON text, a stream is one for each event. Either is read in the pieces in which it arrives; of what
-- is no usage object nothing is remembered but how deep it is. What it says is written at once, so that a stream which
-- is cut has said what it said by then; of several events the last that says a number counts.

local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

local LONGEST = 64 -- of a name, and of a number's digits

-- What stands on the way to a number that is wanted: path -> true. The numbers themselves: path -> what it is called.
local WAY, WANTED = {}, {}
for _, place in ipairs(PLACES) do
  for _, field in ipairs(FIELDS) do
    local path = place .. "." .. field
    WANTED[path] = field
    for at in string.gmatch(path, "()%.") do WAY[sub(path, 1, at - 1)] = true end
  end
end

-- A reader of one JSON text that comes in pieces; ``found`` is told (field, number).
local function reader(found)
  local places, keys, depth = { [0] = false }, {}, 0 -- of the containers that lead somewhere: its path, the name at hand
  local skipped = 0 -- containers open that lead nowhere
  local quoted, escaped, text = false, false, nil -- in a string, behind a backslash, what it says so far
  local digits = nil -- of a number that has begun

  local function opened(object)
    if skipped > 0 then
      skipped = skipped + 1
      return
    end
    local path
    if depth == 0 then
      path = object and "" or nil
    elseif object and keys[depth] then
      path = places[depth] == "" and keys[depth] or places[depth] .. "." .. keys[depth]
      if not WAY[path] then path = nil end
    end
    if path then
      depth = depth + 1
      places[depth], keys[depth] = path, nil
    else
      skipped = 1
    end
  end

  local function closed()
    if skipped > 0 then
      skipped = skipped - 1
    elseif depth > 0 then
      depth = depth - 1
    end
    if depth > 0 and skipped == 0 then keys[depth] = nil end
  end

  local function ended()
    local field = depth > 0 and keys[depth] and WANTED[places[depth] .. "." .. keys[depth]]
    local number = field and match(digits, "^%d+$") and tonumber(digits)
    digits = nil
    if number then found(field, number) end
  end

  return function(piece)
    local at, size = 1, #piece
    while at <= size do
      if quoted then
        if escaped then
          escaped, at = false, at + 1
        else
          local stop = find(piece, '["\\]', at)
          if text then
            text = #text <= LONGEST and text .. sub(piece, at, math.min((stop or size + 1) - 1, at + LONGEST))
          end
          if not stop then return end
          at = stop + 1
          if byte(piece, stop) == 92 then
            escaped, text = true, false -- a name that is wanted has none
          else
            quoted = false
          end
        end
      elseif digits then
        local stop = find(piece, "[^%d.eE+-]", at)
        digits = #digits <= LONGEST and digits .. sub(piece, at, math.min((stop or size + 1) - 1, at + LONGEST)) or digits
        if not stop then return end
        at = stop
        ended()
      else
        local stop = find(piece, skipped > 0 and '["{}%[%]]' or '["{}%[%]:,%d-]', at)
        if not stop then return end
        local char = byte(piece, stop)
        at = stop + 1
        if char == 34 then
          quoted, escaped, text = true, false, skipped == 0 and ""
        elseif char == 123 or char == 91 then
          opened(char == 123)
        elseif char == 125 or char == 93 then
          closed()
        elseif char == 58 then
          if depth > 0 then keys[depth] = text or nil end
        elseif char == 44 then
          if depth > 0 then keys[depth] = nil end
        elseif depth > 0 and keys[depth] then
          digits, at = "", stop
        end
      end
    end
  end
end

-- A reader of a stream of server-sent events (WHATWG HTML, 9.2.6): the data of each event is one JSON text.
local function events(found)
  local line, data, returned = "", false, false -- how this line begins, whether it is data, whether a CR ended the last
  local feed = nil -- the reader of this event's data, once it has some

  -- Where the first event begins that may say usage; ``at`` itself lies between two events.
  local function worth(piece, at)
    local named = find(piece, '"usage"', at, true)
    local skipped = match(sub(piece, at, named or #piece), "^.*\n\r?\n()")
    return skipped and at + skipped - 1 or at
  end

  return function(piece)
    local at, size = 1, #piece
    while at <= size do
      if returned and byte(piece, at) == 10 then at = at + 1 end
      returned = false
      if line == "" and not feed then at = worth(piece, at) end
      if at > size then return end
      local stop = find(piece, "[\r\n]", at)
      local upto = (stop or size + 1) - 1
      if #line < 5 and upto >= at then
        local more = sub(piece, at, math.min(upto, at + 4 - #line))
        line, at = line .. more, at + #more
        if line == "data:" then data, feed = true, feed or reader(found) end
      end
      if data and upto >= at then feed(sub(piece, at, upto)) end
      if not stop then return end
      if line == "" then feed = nil end -- an empty line ends the event
      line, data, returned, at = "", false, byte(piece, stop) == 13, stop + 1
    end
  end
end

-- What it comes to, whatever the dialect: the tokens of maas_api/usage/dialects.py.
local function total(said)
  local function first(names)
    local zero
    for _, name in ipairs(names) do
      if said[name] and said[name] > 0 then return said[name] end
      zero = zero or said[name]
    end
    return zero
  end
  local given, out = first(INPUT), first(OUTPUT)
  if not given and not out then return nil end
  local sum = (given or 0) + (out or 0)
  if not said.prompt_tokens then
    for _, name in ipairs(BESIDE) do sum = sum + (said[name] or 0) end
  end
  return sum
end

-- How the answer is to be read; nil where it is not.
local function reading(headers)
  local encoding = headers:get("content-encoding")
  if encoding and lower(encoding) ~= "identity" then return nil end
  local kind = lower(match(headers:get("content-type") or "", "^[^;%s]*"))
  if kind == "application/json" then return reader end
  return kind == "text/event-stream" and events or nil
end

function envoy_on_response(handle)
  local caller = handle:streamInfo():dynamicMetadata():get(CALLER)
  local read = caller and caller[USER] and reading(handle:headers())
  if not read then return end
  local said, fresh = {}, false
  local feed = read(function(field, number)
    said[field], fresh = number, true
  end)
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > 0 then feed(chunk:getBytes(0, size)) end
    if fresh then
      local kept = handle:streamInfo():dynamicMetadata() -- not the same after a wait
      for field, number in pairs(said) do kept:set(NAMESPACE, field, number) end
      local sum = total(said)
      if sum then kept:set(NAMESPACE, TOTAL, sum) end
      fresh = false
    end
  end
end
