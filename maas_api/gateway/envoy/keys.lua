-- Looks for API keys of ours wherever a request to a model could carry one on: a header beside those of credentials is
-- dropped, a key in the path, the query, the host or the body is refused, and so is a body that cannot be looked through.
--
-- A key's shape is its beginning, in any case, and what is too long for the part that pages show of one. A body is one
-- text, whatever its type: a character may stand in it as it is, escaped as in JSON (in a text within it, too) or, in a
-- form, percent-encoded.

local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

-- Without one of these a request is refused unread. They go no further than the answer about them.
local CREDENTIALS = { "authorization", "x-api-key", "api-key" }
local CREDENTIAL = {}
for _, name in ipairs(CREDENTIALS) do CREDENTIAL[name] = true end

local WHOLE = string.gsub(SHAPE, "%-", "%%-") .. string.rep("[%w_]", 16)
local MIDDLES = { "-oai-", "-OAI-" } -- seldom in any text, so that a search for them is as fast as one can be
local BEFORE = sub(SHAPE, 1, find(SHAPE, MIDDLES[1], 1, true) - 1)
local AROUND = 200 -- bytes on either side of a character of the shape: holds a key, each of its characters escaped
local UNESCAPED = 4 -- how often a path is: nobody escapes more often for a good reason

-- What bounds the time that one body may take, in units of about 30 ns: a twentieth of a second, beside the searches.
local WORTH = 1500000
local GLANCE, LOOK = 3, 150

-- How the characters of the shape are escaped, in any case: two hex digits -> true.
local HEX = {}
for char in string.gmatch(SHAPE, ".") do
  for _, form in ipairs({ char, string.upper(char) }) do HEX[string.format("%02x", byte(form))] = true end
end

local function from_hex(digits) return string.char(tonumber(digits, 16)) end

local function shows_shape(text)
  for _ = 1, UNESCAPED do
    if find(lower(text), SHAPE, 1, true) then return true end
    if not find(text, "%", 1, true) then return false end
    text = string.gsub(text, "%%(%x%x)", from_hex)
  end
  return true
end

-- Why a body may not go on, "key" or "complex"; nil where it may.
local function objection(text, kind)
  local left = WORTH

  local function key_around(at)
    left = left - LOOK
    local near = sub(text, math.max(1, at - AROUND), at + AROUND)
    near = string.gsub(string.gsub(near, "\\+u00(%x%x)", from_hex), "%%(%x%x)", from_hex)
    return find(lower(near), WHOLE) ~= nil
  end

  -- Looks around each place of ``mark`` that is ``worth`` it.
  local function near_some(mark, worth)
    local at = find(text, mark, 1, true)
    while at do
      left = left - GLANCE
      if worth(at) and key_around(at) then return "key" end
      if left < 0 then return "complex" end
      at = find(text, mark, at + 1, true)
    end
    return nil
  end

  for _, middle in ipairs(MIDDLES) do
    local found = near_some(middle, function(at) return lower(sub(text, at - #BEFORE, at - 1)) == BEFORE end)
    if found then return found end
  end
  local found = near_some("\\u00", function(at) return HEX[lower(sub(text, at + 4, at + 5))] end)
  if not found and find(kind, "urlencoded", 1, true) then
    found = near_some("%", function(at) return HEX[lower(sub(text, at + 1, at + 2))] end)
  end
  if found or not find(text, "\0", 1, true) then return found end
  -- UTF-16 or UTF-32, as some servers take it from the look of a body that says it is JSON; it may not be (RFC 8259, 8.1).
  local wide, wider = "-\0o\0a\0i\0-", "-\0\0\0o\0\0\0a\0\0\0i\0\0\0-"
  if find(kind, "json", 1, true) or find(text, wide, 1, true) or find(text, wider, 1, true) then return "wide" end
  return nil
end

local function presents_credential(headers)
  for _, name in ipairs(CREDENTIALS) do
    if headers:get(name) then return true end
  end
  return false
end

local function without(lines, unwanted)
  local gone = {}
  for name, value in pairs(lines) do
    if unwanted(name, value) then gone[#gone + 1] = name end
  end
  for _, name in ipairs(gone) do lines:remove(name) end
end

local function holds_key(name, value)
  return not CREDENTIAL[name] and byte(name) ~= 58
    and (find(lower(value), SHAPE, 1, true) or find(name, SHAPE, 1, true)) ~= nil
end

local function refuse(handle, why)
  handle:headers():replace("x-maas-body", "refused") -- so that what words the gateway's own answers leaves this one alone
  local status, text = REFUSALS[why][1], REFUSALS[why][2]
  handle:respond({ [":status"] = status, ["content-type"] = "application/json" }, text)
end

-- The body's text, "" where there is none; nil where the request is refused.
local function without_keys(handle)
  local headers = handle:headers()
  without(headers, holds_key)
  headers:remove("proxy-authorization") -- that of a proxy on the way here, which has taken it
  if shows_shape(headers:get(":path") or "") then
    headers:replace(":path", "/[redacted]") -- a log may show it
    return refuse(handle, "path")
  end
  if shows_shape(headers:get(":authority") or "") then
    headers:replace(":authority", "redacted")
    return refuse(handle, "host")
  end
  if not presents_credential(headers) then return "" end -- nobody will be asked: the answer is no anyway
  local encoding = headers:get("content-encoding")
  if encoding and lower(encoding) ~= "identity" then return refuse(handle, "packed") end
  local kind = lower(headers:get("content-type") or "")
  local body = handle:body()
  local trailers = handle:trailers()
  if trailers then without(trailers, function() return true end) end -- RFC 9110, 6.5.1
  if not body or body:length() == 0 then return "" end
  -- Envoy lets a request pass whose filter fails, for want of memory most of all: this one does not.
  local read, text, why = pcall(function()
    local found = body:getBytes(0, body:length())
    return found, objection(found, kind)
  end)
  if why or not read then return refuse(handle, why or "complex") end
  return text
end
