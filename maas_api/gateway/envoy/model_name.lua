-- Reads which model a request's body names, and tells it to the authorizer in headers that no client can set.
--
-- One pass over the bytes, as strict as it must be for every parser behind to find the same names or to refuse the
-- body: Go's takes another spelling of a name for the same one, Python's and JavaScript's take the last of two.
-- Where they could differ a doubt is told instead of a name, and the authorizer lets nothing run.
-- Its results are the two headers of maas_api/access/named.py, which explains each doubt to the caller.

-- What bounds the time that one body may take, counted in what it costs: a unit is about 30 ns, all of it a tenth of
-- a second. Text inside strings is as good as free, however long.
local BUDGET = 4000000
local BRACKET, STRING, KEY = 8, 10, 25 -- an escaped quote, and a character between strings, cost 1
local WINDOW = 65536
local SPACES = 4096 -- in a row around a name, and at either end
local DEPTH = 200
local NAMES = 32 -- further models, and kinds of tools
local LONGEST = 256 -- bytes of a name
local WRITTEN = 8388608 -- bytes of a body in which anything is added

local TOLD = { "x-gateway-model-name", "x-maas-body" }
-- Where a call at the root goes, and what a call is counted under: only the authorizer says it.
local ANSWERED = {
  "x-maas-route", "x-maas-metered-key", "x-maas-metered-user", "x-maas-metered-subscription", "x-maas-metered-model",
  "x-maas-metered-provider", "x-maas-metered-held",
}

-- Outside strings only these may stand between brackets: space, separators, numbers, true, false, null.
local SPECIAL = "[^%d \t\r\n,:.+%-eEtrufalsn]"

-- How what stands in a container is read.
local SKIP, TOP, WATCH, NAMED, TOOLS, TOOL = 0, 1, 2, 3, 4, 5

-- Below the top level: what users say, and what describes it. A model named there runs nothing.
local CONTENT = {
  audio = true, documents = true, function_call = true, image = true, image_url = true, input = true,
  instructions = true, logit_bias = true, messages = true, metadata = true, prediction = true, prompt = true,
  reasoning = true, response_format = true, stop = true, system = true, text = true, user = true,
}
-- Of a tool: the shape of its arguments.
local SCHEMA = { parameters = true, input_schema = true, ["function"] = true, schema = true, format = true, filters = true }
-- Further models to run instead.
local ALTERNATIVES = { models = true, fallbacks = true }

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40) end
  if code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return string.char(
    0xF0 + math.floor(code / 0x40000), 0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
end

-- The text of a JSON string without its quotes; nil where it is not one. Lone surrogates are refused: parsers differ.
local function decode(raw)
  if not find(raw, "\\", 1, true) then return raw end
  local parts, from = {}, 1
  while true do
    local at = find(raw, "\\", from, true)
    if not at then
      parts[#parts + 1] = sub(raw, from)
      return table.concat(parts)
    end
    parts[#parts + 1] = sub(raw, from, at - 1)
    local kind = sub(raw, at + 1, at + 1)
    if kind == "u" then
      local code = match(raw, "^%x%x%x%x", at + 2)
      if not code then return nil end
      local value, length = tonumber(code, 16), 6
      if value >= 0xD800 and value < 0xDC00 then
        local low = match(raw, "^\\u(%x%x%x%x)", at + 6)
        low = low and tonumber(low, 16)
        if not low or low < 0xDC00 or low > 0xDFFF then return nil end
        value, length = 0x10000 + (value - 0xD800) * 0x400 + (low - 0xDC00), 12
      elseif value >= 0xDC00 and value < 0xE000 then
        return nil
      end
      parts[#parts + 1] = utf8(value)
      from = at + length
    else
      local plain = ESCAPES[kind]
      if not plain then return nil end
      parts[#parts + 1] = plain
      from = at + 2
    end
  end
end

-- The spelling under which Go's parser takes a name: letters of any case, and the two signs that fold to k and s.
local function fold(name)
  if not find(name, "[^%l%d_]") then return name end
  return (lower(name):gsub("\226\132\170", "k"):gsub("\197\191", "s"))
end

-- A found name: as it stands, or nil where a header cannot carry it unchanged.
local function name_of(raw)
  local name = #raw <= LONGEST * 6 and decode(raw)
  if not name or name == "" or #name > LONGEST or find(name, "%c") or find(name, "^ ") or find(name, " $") then
    return nil
  end
  return name
end

local function quoted(name)
  return (name:gsub("[^%w._/:@-]", function(char) return string.format("%%%02X", byte(char)) end))
end

-- The end of the string that begins with the quote at ``from``, and the quotes escaped in it; nil where there is none.
local function closing(text, from)
  local at, escaped = from + 1, 0
  while true do
    local quote = find(text, '"', at, true)
    if not quote then return nil, escaped end
    local before = quote - 1
    while before > from and byte(text, before) == 92 do before = before - 1 end
    if (quote - 1 - before) % 2 == 0 then return quote, escaped end
    at, escaped = quote + 1, escaped + 1
    if escaped > BUDGET then return nil, escaped end
  end
end

-- Where what follows ``from`` begins, after at most a few spaces; nil where there is nothing, or too much space.
local function visible(text, from)
  for at = from, from + SPACES do
    local char = byte(text, at)
    if not char then return nil end
    if char ~= 32 and char ~= 10 and char ~= 13 and char ~= 9 then return at end
  end
  return nil
end

-- How a container is read that is the value of ``key`` (nil in a list) in a container read as ``mode``.
local function inner(mode, key)
  if mode == SKIP then return SKIP end
  if mode == TOP then
    if CONTENT[key] then return SKIP end
    if ALTERNATIVES[key] then return NAMED end
    if key == "tools" or key == "functions" then return TOOLS end
    return WATCH
  end
  if mode == TOOLS then return TOOL end
  if mode == TOOL and SCHEMA[key] then return SKIP end
  if ALTERNATIVES[key] then return NAMED end
  if mode == NAMED then return NAMED end
  return WATCH
end

-- What ``text`` names: {model, nested (a list), tools (a list)}, or nil and the doubt.
local function read(text)
  local position = visible(text, 1)
  if not position or byte(text, position) ~= 123 then return nil, "not-json" end
  local depth, spent, seen, model, wrong = 0, 0, 0, nil, nil
  local kinds, modes, keys, next_quote = {}, {}, {}, 0
  local window, window_start, window_end = "", 0, 0
  local nested, tools, known = {}, {}, {}
  local asked = {} -- where the values of ``stream`` and ``stream_options`` begin; false where a server might see others

  local function note(list, kind, raw)
    local name = name_of(raw)
    if not name then return false end
    if not known[kind .. name] then
      known[kind .. name] = true
      list[#list + 1] = quoted(name)
    end
    return #list <= NAMES
  end

  while true do
    -- No search looks further than to the next quote, or a window: a gap of any length costs no more than it may.
    if next_quote < position then next_quote = find(text, '"', position, true) or #text + 1 end
    local at, empty
    if next_quote - position <= WINDOW then
      at = find(text, SPECIAL, position)
      if not at then return nil, "not-json" end
    else
      if position >= window_end then
        window, window_start, window_end = sub(text, position, position + WINDOW - 1), position, position + WINDOW
      end
      local found = find(window, SPECIAL, position - window_start + 1)
      at, empty = found and window_start + found - 1 or window_end, not found
    end
    spent = spent + BRACKET + at - position
    if spent > BUDGET then return nil, "too-complex" end
    local char, mode = byte(text, at), modes[depth]
    if empty then
      position = at -- nothing in the rest of this window
    elseif char == 34 then
      local quote, escaped = closing(text, at)
      spent = spent + STRING + escaped
      if spent > BUDGET then return nil, "too-complex" end
      if not quote then return nil, "not-json" end
      position = quote + 1
      if mode ~= SKIP then
        local after = visible(text, position)
        if kinds[depth] == 123 and after and byte(text, after) == 58 then
          local raw = sub(text, at + 1, quote - 1)
          local key = #raw <= LONGEST and decode(raw)
          key = key and fold(key) or ""
          keys[depth] = key
          spent = spent + KEY + after - position
          position = after + 1
          if mode == TOP and (key == "stream" or key == "stream_options") then
            asked[key] = asked[key] == nil and raw == key and visible(text, position)
          end
          if mode == TOP and key == "model" then
            seen = seen + 1
            if raw ~= "model" then wrong = wrong or "spelling" end
            local value = visible(text, position)
            if not value or byte(text, value) ~= 34 then wrong = wrong or "no-model" end
          end
        else
          local key = keys[depth]
          local raw = sub(text, at + 1, quote - 1)
          if mode == TOP then
            if key == "model" then model = raw end
            if ALTERNATIVES[key] and raw ~= "" and not note(nested, "m", raw) then return nil, "further-models" end
          elseif key == "model" or (mode == NAMED and kinds[depth] == 91) or ALTERNATIVES[key] then
            if raw ~= "" and not note(nested, "m", raw) then return nil, "further-models" end
          elseif mode == TOOL and key == "type" then
            if not note(tools, "t", raw) then return nil, "further-models" end
          end
          if kinds[depth] == 123 then keys[depth] = nil end
        end
      end
    elseif char == 123 or char == 91 then
      local deeper = depth == 0 and TOP or inner(mode, keys[depth])
      if depth > 0 and kinds[depth] == 123 then keys[depth] = nil end
      depth = depth + 1
      if depth > DEPTH then return nil, "too-complex" end
      kinds[depth], modes[depth], keys[depth] = char, deeper, nil
      position = at + 1
    elseif char == 125 or char == 93 then
      if kinds[depth] ~= char - 2 then return nil, "not-json" end
      depth = depth - 1
      position = at + 1
      if depth == 0 then
        local rest = visible(text, position)
        if rest or #text >= position + SPACES then return nil, "not-json" end
        break
      end
    else
      return nil, "not-json"
    end
  end
  if seen > 1 then return nil, "twice" end
  if wrong then return nil, wrong end
  if not model then return nil, "no-model" end
  local name = name_of(model)
  if not name then return nil, "model-name" end
  return { model = name, nested = nested, tools = tools, asked = asked }
end

-- Whether the caller's own credential stands in a body, where a provider's logs would keep it.
local function shows_credential(text, headers)
  if #text > WINDOW * 16 then return false end -- a search costs as much as its text is long
  for _, name in ipairs(CREDENTIALS) do
    local value = headers:get(name)
    local secret = value and string.match(value, "(%S+)%s*$")
    if secret and #secret >= 16 and find(text, secret, 1, true) then return true end
  end
  return false
end

-- A body of Chat or Completions that asks for a stream and does not say whether for its usage, so that it asks for
-- that, too; nil where nothing is to be added.
local function asking_for_usage(text, asked, path)
  local endpoint = match(path or "", "^[^?]*")
  if not find(endpoint, "/completions$") or #text > WRITTEN then return nil end
  if not asked.stream or not find(text, "^true[%s,}]", asked.stream) then return nil end
  local at = asked.stream_options
  if at == nil then
    local first = find(text, "{", 1, true)
    return sub(text, 1, first) .. '"stream_options":{"include_usage":true},' .. sub(text, first + 1)
  end
  if at and find(text, "^null[%s,}]", at) then
    return sub(text, 1, at - 1) .. '{"include_usage":true}' .. sub(text, at + 4)
  end
  local inside = at and match(text, "^{([^{}\\]*)}", at)
  if not inside or find(lower(inside), "include_usage", 1, true) then return nil end
  local more = find(inside, "%S") and "," or ""
  return sub(text, 1, at) .. '"include_usage":true' .. more .. sub(text, at + 1)
end

-- Whether the body says that it is JSON in UTF-8, the only kind that is read.
local function readable(headers)
  local kind = headers:get("content-type")
  local plain = kind and lower(kind):gsub("[ \t]", "")
  return plain == "application/json" or plain == "application/json;charset=utf-8"
    or plain == 'application/json;charset="utf-8"'
end

function envoy_on_request(handle)
  local headers = handle:headers()
  for _, name in ipairs(TOLD) do headers:remove(name) end -- nobody else says them
  for _, name in ipairs(ANSWERED) do headers:remove(name) end
  local posted = headers:get(":method") == "POST" and presents_credential(headers)
  local text = without_keys(handle)
  if not text or not posted then return end
  headers = handle:headers() -- the earlier one is not to be used after the wait for the body
  local found, doubt
  if not readable(headers) then
    doubt = "content-type"
  elseif text == "" then
    doubt = "no-body"
  else
    found, doubt = read(text)
    if found and shows_credential(text, headers) then return refuse(handle, "key") end
    local written = INCLUDE_USAGE and found and asking_for_usage(text, found.asked, headers:get(":path"))
    if written then
      local length = tostring(handle:body():setBytes(written))
      if headers:get("content-length") then headers:replace("content-length", length) end
    end
  end
  if doubt then
    headers:replace("x-maas-body", "doubt=" .. doubt)
    return
  end
  headers:replace("x-gateway-model-name", found.model)
  local more = {}
  if #found.nested > 0 then more[#more + 1] = "nested=" .. table.concat(found.nested, ",") end
  if #found.tools > 0 then more[#more + 1] = "tools=" .. table.concat(found.tools, ",") end
  if #more > 0 then headers:replace("x-maas-body", table.concat(more, ";")) end
end
